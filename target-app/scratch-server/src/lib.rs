#![doc = include_str!("../README.md")]

mod error;
// Directories, their locks, and what killed runs left in them.
mod home;
// Server programs from package registries.
mod packages;
// Programs, and the user they run as.
mod process;
mod project;
// A server that runs; `supervisor.sh` runs beside it.
mod supervised;

use std::path::Path;
use std::time::Duration;

pub use error::Error;
pub use home::{Area, Run, Sharing, default_home, hash};
pub use packages::{Fetched, Package};
pub use process::{ServerUser, is_program, output};
pub use project::Project;
pub use rustix::process::Signal;
pub use supervised::Supervised;

/// The pause between two looks at a lock, a process or a port.
pub const POLL: Duration = Duration::from_millis(10);

/// Is told, in a few words, what takes longer than a moment.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// What is known of a kind of server.
#[derive(Debug)]
pub struct Kind {
    /// Names the directory of its files below a project's home, such as `postgres`.
    pub name: &'static str,
    /// Whom it runs as when this process is root: the first of these users that the system has.
    pub users: &'static [&'static str],
    /// How the environment variables begin that are meant for other servers of this kind, such as `PG`.
    pub variables: &'static str,
    /// Ends it at once, with its sessions.
    pub stop: Signal,
    /// The file with the number of its process in the first line, as a path in the run's directory. Its command line must
    /// hold the path of the directory that this file is in.
    pub pid_file: &'static str,
    /// Room that a run needs on its disk, in bytes.
    pub room_bytes: u64,
    /// What a killed server left outside of the run's directory, which is its argument: the command that frees it. It is
    /// run as the server's user.
    pub free: fn(&Path) -> Option<Vec<String>>,
}

/// How a run's id is written in names.
pub fn run_id(run: u32) -> String {
    format!("{run:08x}")
}
