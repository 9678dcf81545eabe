//! The channel's side of an installation: turning what a browser brought back into a token. Whose installation it
//! becomes is not known here.

use std::collections::BTreeMap;

use crate::{BoxFuture, ChannelToken};

/// An installation as the channel granted it.
#[derive(Debug, Clone)]
pub struct Installed {
    /// The id it is kept under: a workspace's, or that of a whole organisation. Events name the same one.
    pub workspace: String,
    /// What its calls are made with. Sealed before it is kept.
    pub token: ChannelToken,
    /// What else its calls need and is no secret, by name (`bot_user_id`, …): kept beside the token in clear.
    pub details: BTreeMap<String, String>,
}

/// Why there is no installation. Holds no code and no token, so that it can be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// The channel did not answer, or not clearly. A code is good once, so the person begins again.
    #[error("the channel does not answer")]
    Away,
    /// It says no; its own word for why.
    #[error("the channel refuses: {0}")]
    Refused(String),
    /// It granted something that cannot be worked with.
    #[error("unusable: {0}")]
    Unusable(&'static str),
}

/// Exchanges codes.
pub trait Installer: Send + Sync {
    /// The installation that `code` stands for. A code is good once, and for some minutes.
    ///
    /// # Errors
    /// [`InstallError`].
    fn exchange<'a>(&'a self, code: &'a str) -> BoxFuture<'a, Result<Installed, InstallError>>;
}
