//! A channel that grants what a test lays out for a code. Each code is good once, as on a real channel.

use std::collections::BTreeMap;
use std::sync::Mutex;

use konstruct_ports::{BoxFuture, ChannelToken, InstallError, Installed, Installer};

/// Grants by code.
#[derive(Debug, Default)]
pub struct FakeInstaller {
    granted: Mutex<BTreeMap<String, Result<Installed, InstallError>>>,
    asked: Mutex<Vec<String>>,
}

impl FakeInstaller {
    /// What a code is good for.
    pub fn grant(&self, code: &str, workspace: &str, token: &str) {
        let details = BTreeMap::from([("bot_user_id".to_owned(), "U00FAKEBOT01".to_owned())]);
        let token = ChannelToken::new(token.to_owned());
        let installed = Installed { workspace: workspace.to_owned(), token, details };
        self.granted.lock().unwrap().insert(code.to_owned(), Ok(installed));
    }

    /// What a code fails with.
    pub fn fail(&self, code: &str, error: InstallError) {
        self.granted.lock().unwrap().insert(code.to_owned(), Err(error));
    }

    /// The codes that came.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Installer for FakeInstaller {
    fn exchange<'a>(&'a self, code: &'a str) -> BoxFuture<'a, Result<Installed, InstallError>> {
        self.asked.lock().unwrap().push(code.to_owned());
        let granted = self.granted.lock().unwrap().remove(code);
        Box::pin(async { granted.unwrap_or_else(|| Err(InstallError::Refused("invalid_code".to_owned()))) })
    }
}
