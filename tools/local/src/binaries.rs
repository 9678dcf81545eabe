//! The functions' binaries of this run.
//! They are set aside at start: a build while the stack runs must not change what it runs.

use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};
use crate::template::FunctionSpec;

/// Puts the built binaries into `STATE_DIR/bin` and names that folder.
pub fn set_aside(built: &Path, state_dir: &Path, functions: &[FunctionSpec]) -> Result<PathBuf> {
    let folder = state_dir.join("bin");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context(folder.display())?;
    }
    std::fs::create_dir_all(&folder).context(folder.display())?;
    for function in functions {
        let from = built.join(&function.folder);
        let to = folder.join(&function.folder);
        if !from.exists() {
            return Err(Error::new(format!("{} is not built", from.display())));
        }
        // A link costs nothing, but only works within one file system.
        if std::fs::hard_link(&from, &to).is_err() {
            std::fs::copy(&from, &to).context(from.display())?;
        }
    }
    Ok(folder)
}
