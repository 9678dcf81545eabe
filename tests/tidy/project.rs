//! The project's files as git knows them, and what a check answers. It must not see what git ignores.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything that breaks a rule, one line each; printed as it is when a test fails.
pub struct Violations(String);

impl fmt::Debug for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}", self.0)
    }
}

impl From<String> for Violations {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// What a check answers.
pub type Verdict = Result<(), Violations>;

/// A rule holds when nothing breaks it.
pub fn verdict(broken: &[String]) -> Verdict {
    if broken.is_empty() { Ok(()) } else { Err(Violations(broken.join("\n"))) }
}

/// A file of the project.
pub struct File {
    /// From the root, with `/`.
    pub path: String,
    /// Its text; what is no UTF-8 is replaced, so that it can be searched all the same.
    pub text: String,
}

impl File {
    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// What follows the last dot of the name; empty if there is none.
    pub fn extension(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// Its lines, numbered from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// The folder that holds `Cargo.lock`, at or above the one the tests run in.
pub fn root() -> Result<PathBuf, Violations> {
    let here = std::env::current_dir().map_err(|error| format!("no working directory: {error}"))?;
    let root = here.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    Ok(root.map(Path::to_path_buf).ok_or_else(|| format!("no Cargo.lock above {}", here.display()))?)
}

/// All files, sorted by path.
pub fn files() -> Result<Vec<File>, Violations> {
    let root = root()?;
    let listed = run(Command::new("git").arg("-C").arg(&root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut paths: Vec<&str> = listed.split('\0').filter(|path| !path.is_empty()).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut files = Vec::new();
    for path in paths {
        let file = root.join(path);
        if !file.is_file() {
            continue; // deleted here, and git has not been told yet
        }
        let bytes = std::fs::read(&file).map_err(|error| format!("{path}: {error}"))?;
        files.push(File { path: path.to_owned(), text: String::from_utf8_lossy(&bytes).into_owned() });
    }
    if files.is_empty() {
        return Err(Violations(format!("git lists no file under {}", root.display())));
    }
    Ok(files)
}

/// The one file at `path`.
pub fn file(path: &str) -> Result<File, Violations> {
    let text = std::fs::read_to_string(root()?.join(path)).map_err(|error| format!("{path}: {error}"))?;
    Ok(File { path: path.to_owned(), text })
}

/// The folders directly under `folder` that hold a file of the project, sorted.
pub fn folders_in(files: &[File], folder: &str) -> Vec<String> {
    let prefix = format!("{folder}/");
    let mut found: Vec<String> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix(&prefix)?.split_once('/'))
        .map(|(name, _)| name.to_owned())
        .collect();
    found.dedup();
    found
}

/// What a command prints; its complaint is the error.
pub fn run(command: &mut Command) -> Result<String, Violations> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(Violations(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
