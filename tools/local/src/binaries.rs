//! The functions' binaries of this run, build after build.
//! They are set aside, at start and with each swap: a build while the stack runs must not change what it runs.

use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};

/// Puts the built binaries into `STATE_DIR/bin` and names that folder. What an earlier run left there goes.
pub fn set_aside<'a>(
    built: &Path,
    state_dir: &Path,
    functions: impl IntoIterator<Item = &'a str>,
) -> Result<PathBuf> {
    let folder = state_dir.join("bin");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context(folder.display())?;
    }
    copy(built, &folder, functions)?;
    Ok(folder)
}

/// Puts a further build into a folder of its own below `STATE_DIR/bin`, and names that.
pub fn set_aside_again<'a>(
    built: &Path,
    state_dir: &Path,
    build: u64,
    functions: impl IntoIterator<Item = &'a str>,
) -> Result<PathBuf> {
    let folder = state_dir.join("bin/builds").join(build.to_string());
    copy(built, &folder, functions)?;
    Ok(folder)
}

fn copy<'a>(built: &Path, folder: &Path, functions: impl IntoIterator<Item = &'a str>) -> Result<()> {
    std::fs::create_dir_all(folder).context(folder.display())?;
    for function in functions {
        let from = built.join(function);
        let to = folder.join(function);
        if !from.is_file() {
            return Err(Error::new(format!("{} is not built", from.display())));
        }
        // A link costs nothing, but only works within one file system.
        if std::fs::hard_link(&from, &to).is_err() {
            std::fs::copy(&from, &to).context(from.display())?;
        }
    }
    Ok(())
}
