use std::io;
use std::path::PathBuf;

use crate::{Kind, Project};

/// Why a private server has no place, or nobody to run it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory for servers and caches cannot be used.
    #[error("cannot use {path} for a private server: {reason}", path = .path.display())]
    Home {
        /// The directory or file that was refused.
        path: PathBuf,
        /// What the system said.
        reason: String,
        /// Whose directory it is.
        project: Project,
    },
    /// Too little room for a server, before or while it ran.
    #[error("the disk that holds {path} is full: {reason}", path = .path.display())]
    DiskFull {
        /// The directory that needs room.
        path: PathBuf,
        /// How much there is, or what failed for want of it.
        reason: String,
        /// Whose directory it is.
        project: Project,
    },
    /// Running as root, which no server should, and there is no other user to run it as.
    #[error("a private server is not run as root, and this system has none of the users {}", .kind.users.join(", "))]
    NoUnprivilegedUser {
        /// What was to run.
        kind: &'static Kind,
    },
    /// A program that is needed on the way to a server failed.
    #[error("{program} failed: {reason}")]
    Program {
        /// Which one.
        program: String,
        /// Its last words.
        reason: String,
        /// For whom it was run.
        project: Project,
    },
}

impl Error {
    /// An I/O error on `path`, told apart by whether room was missing.
    pub fn io(project: Project, path: impl Into<PathBuf>, error: io::Error) -> Self {
        let path = path.into();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path, reason: error.to_string(), project }
            }
            _ => Self::Home { path, reason: error.to_string(), project },
        }
    }
}
