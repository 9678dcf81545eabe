//! Passwords, the JWT secret and the key of stored secrets: random per state folder, the same after a restart.
//! They must reach no log and no argument list.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::error::{Context, Result};

/// The secrets of one state folder.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// Key of the demo tokens.
    pub jwt: String,
    /// What the database passwords are derived from.
    database: String,
    /// 32 bytes in base64; none in a folder from before there were stored secrets.
    #[serde(default)]
    key: Option<String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    /// Reads the secrets of `state_dir`, or makes them.
    pub fn of(state_dir: &Path) -> Result<Self> {
        let path = state_dir.join("secrets.json");
        let mut secrets = if path.exists() { Self::read(&path)? } else { Self::fresh()? };
        if secrets.key.is_none() {
            secrets.key = Some(BASE64_STANDARD.encode(random_bytes(32)?));
            secrets.write(&path)?;
        }
        Ok(secrets)
    }

    fn fresh() -> Result<Self> {
        Ok(Self { jwt: random_hex(32)?, database: random_hex(32)?, key: None })
    }

    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).context(path.display())?;
        serde_json::from_str(&text).context(path.display())
    }

    fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self).context("secrets")?;
        // Written aside first: a half-written file would lock the person out of the data.
        let aside = path.with_extension("new");
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)
            .context(aside.display())?;
        file.write_all(text.as_bytes()).context(aside.display())?;
        std::fs::rename(&aside, path).context(path.display())
    }

    /// The key of secrets stored in the database, base64 of 32 bytes. As with a password it follows, on a
    /// server that is not ours, from that server's URL: what was stored there outlives this folder.
    pub fn key(&self, external: Option<&str>) -> String {
        match (external, &self.key) {
            (Some(url), _) => BASE64_STANDARD.encode(sign(url.as_bytes(), b"key of stored secrets")),
            (None, key) => key.clone().unwrap_or_default(),
        }
    }

    /// The password of a database role. On a server that is not ours (`external`, an administrator's
    /// URL) it follows from that URL, so that two stacks on one server agree.
    pub fn password(&self, role: &str, external: Option<&str>) -> String {
        let key = external.unwrap_or(&self.database);
        hex(&sign(key.as_bytes(), role.as_bytes()))
    }
}

/// HMAC-SHA256.
pub fn sign(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC takes keys of every length; the error type is of the trait.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// `count` random bytes.
pub fn random_bytes(count: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes).context("random numbers")?;
    Ok(bytes)
}

fn random_hex(count: usize) -> Result<String> {
    random_bytes(count).map(|bytes| hex(&bytes))
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("konstruct-secrets-{}", crate::ids::uuid()));
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn the_key_of_stored_secrets_is_made_once_and_kept_for_the_owner_only() {
        let folder = folder();
        let key = Secrets::of(&folder).unwrap().key(None);
        assert_eq!(BASE64_STANDARD.decode(&key).unwrap().len(), 32);
        assert_eq!(Secrets::of(&folder).unwrap().key(None), key);
        let mode = std::fs::metadata(folder.join("secrets.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_folder_from_before_there_was_a_key_gets_one_and_keeps_the_rest() {
        let folder = folder();
        std::fs::write(folder.join("secrets.json"), r#"{"jwt":"j","database":"d"}"#).unwrap();
        let secrets = Secrets::of(&folder).unwrap();
        assert_eq!((secrets.jwt.as_str(), secrets.database.as_str()), ("j", "d"));
        assert_eq!(Secrets::of(&folder).unwrap().key(None), secrets.key(None));
        assert!(!secrets.key(None).is_empty());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn on_a_server_of_somebody_else_the_key_follows_from_its_url() {
        let key = |url| Secrets::fresh().unwrap().key(Some(url));
        assert_eq!(key("postgres://db/a"), key("postgres://db/a"));
        assert_ne!(key("postgres://db/a"), key("postgres://db/b"));
        assert_eq!(BASE64_STANDARD.decode(key("postgres://db/a")).unwrap().len(), 32);
    }
}
