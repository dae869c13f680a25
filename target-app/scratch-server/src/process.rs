//! Programs that are run on the way to a server, and whom they run as.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use tokio::process::Child;

use crate::{Error, Kind};

/// Whom the server runs as: this process's user, or, as no server should be root, an unprivileged one.
#[derive(Debug, Clone, Copy)]
pub struct ServerUser {
    kind: &'static Kind,
    ids: Option<Ids>,
}

#[derive(Debug, Clone, Copy)]
struct Ids {
    user: u32,
    group: u32,
}

impl ServerUser {
    pub(crate) async fn choose(kind: &'static Kind) -> Result<Self, Error> {
        if !geteuid().is_root() {
            return Ok(Self { kind, ids: None });
        }
        for name in kind.users {
            if let (Some(user), Some(group)) = (id("-u", name).await, id("-g", name).await)
                && user != 0
            {
                return Ok(Self { kind, ids: Some(Ids { user, group }) });
            }
        }
        Err(Error::NoUnprivilegedUser { kind })
    }

    pub(crate) fn kind(self) -> &'static Kind {
        self.kind
    }

    /// The user's number, where it is not this process's own.
    pub fn id(self) -> Option<u32> {
        self.ids.map(|ids| ids.user)
    }

    /// Makes `path` the server's.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn give(self, path: &Path) -> io::Result<()> {
        match self.ids {
            Some(ids) => std::os::unix::fs::lchown(path, Some(ids.user), Some(ids.group)),
            None => Ok(()),
        }
    }

    /// A command that will run as this user, in a fixed language and without the settings of the environment that are meant
    /// for other servers.
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(self.kind.variables) {
                command.env_remove(name);
            }
        }
        // Messages are looked into; and with TZ set, initdb need not search the zone files for the machine's own.
        command.env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
        if let Some(ids) = self.ids {
            command.uid(ids.user).gid(ids.group);
        }
        command
    }
}

impl fmt::Display for ServerUser {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ids {
            Some(ids) => write!(out, "user {}", ids.user),
            None => out.write_str("this user"),
        }
    }
}

async fn id(what: &str, name: &str) -> Option<u32> {
    let mut command = Command::new("id");
    // Where every system has it, whatever PATH says: an empty one is no reason to find no user.
    command.args([what, name]).env("PATH", "/usr/bin:/bin");
    output(command).await.ok()?.trim().parse().ok()
}

/// Whether this is a file that can be run.
pub fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The program called `name` that comes first in `search_path`, which is written as `PATH` is.
pub fn find_program(search_path: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(search_path).map(|dir| dir.join(name)).find(|path| is_program(path))
}

/// Runs `command` to its end and returns its standard output. Dropping the future kills it and all that it started, and so
/// does the end of this process.
///
/// # Errors
///
/// Its last words, as the reason why it failed.
pub async fn output(mut command: Command) -> Result<String, String> {
    let group = Group::new().map_err(|error| format!("/bin/sh: {error}"))?;
    command.process_group(group.id);
    let mut command = tokio::process::Command::from(command);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = if output.stderr.is_empty() { output.stdout } else { output.stderr };
    let said = last_lines(&String::from_utf8_lossy(&said), 8);
    Err(if said.is_empty() { output.status.to_string() } else { said })
}

/// A process group for a program and what it starts: Ctrl-C in the terminal is for this process to judge. Dropping it
/// kills the group. Its leader is a shell that waits for the end of this process, of which nobody else could tell it,
/// and then does the same.
struct Group {
    id: i32,
    /// Its number stays the group's for as long as it is not waited for.
    _leader: Child,
}

impl Group {
    fn new() -> io::Result<Self> {
        let mut leader = Command::new("/bin/sh");
        leader.args(["-c", "read -r _; kill -KILL 0"]).process_group(0);
        leader.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let leader = tokio::process::Command::from(leader).spawn()?;
        let id = leader.id().and_then(|id| i32::try_from(id).ok());
        Ok(Self { id: id.ok_or_else(|| io::Error::other("it has no number"))?, _leader: leader })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = Pid::from_raw(self.id) {
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

/// The last `count` lines of `text` that are not blank.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
