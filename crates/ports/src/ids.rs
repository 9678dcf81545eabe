//! Where new ids come from.

use uuid::Uuid;

/// Makes ids.
pub trait Ids: Send + Sync {
    /// A new UUIDv7: grows with time, so that indexes stay dense.
    fn new_id(&self) -> Uuid;

    /// 64 hexadecimal digits that nobody can guess: for what is a secret while it lives. An id is none.
    fn new_nonce(&self) -> String;
}
