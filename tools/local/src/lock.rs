//! One stack per state folder.
//! The lock must not depend on a process id in a file: the kernel drops it with the process.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::error::{Context, Error, Result};

/// Held as long as the stack runs.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "dropping it unlocks")] File);

/// Takes the lock of `state_dir`, or says that another stack has it.
pub fn take(state_dir: &Path) -> Result<Lock> {
    let path = state_dir.join("lock");
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(&path).context(path.display())?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(Error::new(format!(
            "a stack runs already on {} (see its stack.json); stop it, or set STATE_DIR and PORT_BASE",
            state_dir.display()
        ))),
        Err(TryLockError::Error(error)) => Err(error).context(path.display()),
    }
}
