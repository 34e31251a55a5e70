//! Media by their names on the command line.

use crate::cli::MediumArg;
use anyhow::Context;
use blocktwin::disk::Medium;
use std::path::{Path, PathBuf};

/// Where Linux has a tmpfs by convention.
const TMPFS: &str = "/dev/shm";

impl MediumArg {
    /// Makes one. A real file has no name, so nothing is left behind.
    pub(crate) fn make(&self) -> anyhow::Result<Medium> {
        let Some(directory) = self.directory() else { return Ok(Medium::Memory) };
        let medium = Medium::in_directory(&directory);
        medium.with_context(|| format!("{}: cannot make a file there", directory.display()))
    }

    /// Where its files are, if it has any.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        match self {
            Self::Memory => None,
            Self::Tmpfs if Path::new(TMPFS).is_dir() => Some(TMPFS.into()),
            Self::Tmpfs => Some(std::env::temp_dir()),
            Self::Directory(directory) => Some(directory.clone()),
        }
    }

    /// What it is called in a summary.
    pub(crate) fn name(&self) -> String {
        match self.directory() {
            None => "memory".to_owned(),
            Some(directory) => format!("files in {}", directory.display()),
        }
    }
}
