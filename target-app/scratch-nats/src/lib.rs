#![doc = include_str!("../README.md")]

// A server that the user gave, and the URLs of servers.
mod address;
mod error;
// A private server.
mod private;
// Finding and fetching the server's program.
mod program;
// As much of the protocol as it takes to see that a server can be used.
mod protocol;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use scratch_server::Area;

use address::Address;
use private::Private;
use program::Program;

pub use error::NatsError;
pub use scratch_server::{Progress, Project, default_home};

/// The oldest version that is used, as major and minor number: clients use what came with it.
const OLDEST: (u32, u32) = (2, 9);

/// The environment variable that names a server to use.
const URL_VARIABLE: &str = "NATS_URL";

/// What the project's name precedes in the variable that names the program.
const BINARY: &str = "NATS_BIN";

/// Where a server may come from.
#[derive(Clone)]
pub struct Options {
    /// Who asks.
    pub project: Project,
    /// A server that is running (`NATS_URL`), such as `nats://user:password@host:4222`.
    pub nats_url: Option<OsString>,
    /// Where the program of a private server comes from: `ACME_NATS_BIN` for the project `acme`.
    pub server: ServerChoice,
    /// The directory for servers and caches; see [`default_home`].
    pub home: PathBuf,
    /// Where programs are searched for, as in `PATH`.
    pub search_path: OsString,
}

impl Options {
    /// What the environment says: `NATS_URL`, `PATH`, and the project's own two variables, such as `ACME_NATS_BIN` and
    /// `ACME_HOME` for the project `acme`.
    pub fn from_env(project: Project) -> Self {
        // As the system has it: what is no text is refused where it is used, not taken for unset.
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            project,
            nats_url: set(URL_VARIABLE),
            server: set(&project.variable(BINARY)).map_or(ServerChoice::Any, ServerChoice::from),
            home: default_home(project),
            search_path: std::env::var_os("PATH").unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Options {
    /// Without the URL, which may hold a password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project, nats_url, server, home, search_path } = self;
        out.debug_struct("Options")
            .field("project", project)
            .field("nats_url", &nats_url.as_ref().map(|_| "***"))
            .field("server", server)
            .field("home", home)
            .field("search_path", search_path)
            .finish()
    }
}

/// Which program a private server is run from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerChoice {
    /// One found on this machine, else a portable one.
    Any,
    /// This one: the path of a `nats-server`.
    Program(PathBuf),
    /// A portable one, whatever this machine has: `portable`.
    Portable,
}

impl From<OsString> for ServerChoice {
    fn from(named: OsString) -> Self {
        match named.to_str() {
            Some("portable") => Self::Portable,
            _ => Self::Program(named.into()),
        }
    }
}

/// A NATS server with JetStream to work on.
///
/// Dropping it ends a private server soon after, and so does the end of this process, by `kill -9` too; [`Nats::stop`] waits
/// until it is gone. It may be shared by several async runtimes.
pub struct Nats {
    server: Server,
    url: String,
    origin: String,
    version: String,
}

enum Server {
    Private(Box<Private>),
    Given,
}

impl Nats {
    /// Finds or starts a server, and returns when JetStream answers. `progress` hears of fetching.
    ///
    /// # Errors
    ///
    /// Every [`NatsError`] says what was tried, and its [`hint`](NatsError::hint) what to do.
    pub async fn obtain(options: &Options, progress: Progress<'_>) -> Result<Self, NatsError> {
        let project = options.project;
        if let Some(url) = &options.nats_url {
            let (url, address) = Address::given(url)?;
            let version = address.check_given().await?;
            return Ok(Self {
                server: Server::Given,
                origin: format!("the given server {}", address.masked()),
                url,
                version,
            });
        }
        let area = Area::open(&private::NATS, project, &options.home).await?;
        let program = Program::obtain(options, &area, progress).await?;
        let origin = format!("a private server from {}", program.path.display());
        let (private, version) = Private::start(&area, program).await?;
        Ok(Self { url: private.url(), server: Server::Private(Box::new(private)), origin, version })
    }

    /// How clients connect: `nats://user:password@host:port`. It stays the same when a private server is started again. It
    /// holds the password: not for logs.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server's version as it writes it, such as `2.10.7`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Which server this is, in a few words, without its password.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The program of a private server; none for a given server, which cannot be killed or started again.
    pub fn program(&self) -> Option<&Path> {
        match &self.server {
            Server::Private(private) => Some(private.program()),
            Server::Given => None,
        }
    }

    /// Kills a private server (SIGKILL), and returns when it is gone. Clients find its port closed until [`Nats::restart`],
    /// and [`Nats::lost`] does not report this.
    ///
    /// What the server has acknowledged is in its files. Killing it takes nothing from them: that would take a power cut,
    /// since the server syncs them to the disk only every two minutes.
    ///
    /// # Errors
    ///
    /// [`NatsError::Given`] for a given server.
    pub async fn kill(&self) -> Result<(), NatsError> {
        self.private()?.kill().await
    }

    /// Starts a private server again, on the same port, with the same password and the same files, and returns when JetStream
    /// answers. One that is running is killed first.
    ///
    /// # Errors
    ///
    /// [`NatsError::Given`] for a given server; [`NatsError::Start`] when it does not come up.
    pub async fn restart(&self) -> Result<(), NatsError> {
        self.private()?.restart().await
    }

    fn private(&self) -> Result<&Private, NatsError> {
        match &self.server {
            Server::Private(private) => Ok(private),
            Server::Given => Err(NatsError::Given),
        }
    }

    /// Resolves when the private server that this process started has ended although nobody asked it to, with the error that
    /// says so; never for a given server. Whatever still uses the server should end then, and [`Nats::stop`] clears away what
    /// is left.
    pub async fn lost(&self) -> NatsError {
        match &self.server {
            Server::Private(private) => private.lost().await,
            Server::Given => std::future::pending().await,
        }
    }

    /// Ends a private server, and returns when it and its files are gone. Leaves a given one as it is, with the streams that
    /// were made on it.
    pub async fn stop(self) {
        if let Server::Private(private) = self.server {
            private.stop().await;
        }
    }
}

impl fmt::Debug for Nats {
    /// Without the URL, which holds the password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, version, .. } = self;
        out.debug_struct("Nats").field("origin", origin).field("version", version).finish_non_exhaustive()
    }
}
