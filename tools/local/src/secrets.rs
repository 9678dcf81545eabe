//! Passwords and the JWT secret: random per state folder, the same after a restart.
//! They must reach no log and no argument list.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::error::{Context, Result};

/// The secrets of one state folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// Key of the demo tokens.
    pub jwt: String,
    /// What the database passwords are derived from.
    database: String,
}

impl Secrets {
    /// Reads the secrets of `state_dir`, or makes them.
    pub fn of(state_dir: &Path) -> Result<Self> {
        let path = state_dir.join("secrets.json");
        if path.exists() {
            let mut text = String::new();
            OpenOptions::new()
                .read(true)
                .open(&path)
                .and_then(|mut file| file.read_to_string(&mut text))
                .context(path.display())?;
            return serde_json::from_str(&text).context(path.display());
        }
        let fresh = Self { jwt: random_hex(32)?, database: random_hex(32)? };
        let text = serde_json::to_string(&fresh).context("secrets")?;
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
        std::fs::rename(&aside, &path).context(path.display())?;
        Ok(fresh)
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
