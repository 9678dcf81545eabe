//! AES-256-GCM: a random nonce each time, the tag behind the text, the context authenticated with both. It knows no
//! format.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use konstruct_ports::SecretContext;
use zeroize::Zeroizing;

/// What a seal begins with where one is kept in one piece.
pub(crate) type NonceBytes = [u8; NONCE_LEN];

/// Length of a tag, bytes.
pub(crate) const TAG_BYTES: usize = 16;

/// Nonce, and text with tag; `None` where the key is no key.
pub(crate) fn seal(key: &[u8], context: &SecretContext<'_>, plain: &[u8]) -> Option<(NonceBytes, Vec<u8>)> {
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
    // Encrypted in place: nothing in clear is left behind, also where the vector would have to grow.
    let mut sealed = Vec::with_capacity(plain.len() + TAG_BYTES);
    sealed.extend_from_slice(plain);
    let nonce = key.seal_in_place_append_tag(Aad::from(context.to_string()), &mut sealed).ok()?;
    Some((*nonce.as_ref(), sealed))
}

/// The text, if key, context and every bit are as they were.
pub(crate) fn open(
    key: &[u8],
    context: &SecretContext<'_>,
    nonce: &NonceBytes,
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let mut plain = Zeroizing::new(sealed.to_vec());
    let length = key.open_in_place(nonce, Aad::from(context.to_string()), &mut plain).ok()?.len();
    plain.truncate(length);
    Some(plain)
}
