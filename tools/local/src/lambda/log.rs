//! The log file of a function.
//! Lines go there as the function wrote them; nothing is added.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::Stdio;

use crate::error::{Context, Result};

/// Opens `STATE_DIR/logs/<name>.log` for appending.
pub fn open(folder: &Path, name: &str) -> Result<File> {
    let path = folder.join(format!("{name}.log"));
    OpenOptions::new().create(true).append(true).open(&path).context(path.display())
}

/// Both outputs of a process into one log.
pub fn outputs(folder: &Path, name: &str) -> Result<(Stdio, Stdio)> {
    let file = open(folder, name)?;
    let twin = file.try_clone().context(name)?;
    Ok((file.into(), twin.into()))
}
