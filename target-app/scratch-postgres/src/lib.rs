#![doc = include_str!("../README.md")]

// Finding and fetching a server's programs.
mod binaries;
// A private server.
mod cluster;
mod error;
// A server named by `DATABASE_URL`.
mod given;
// Clusters with a filled template, to copy from.
mod prepared;
// The template database and its clones.
mod template;
mod url;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use scratch_server::{Area, run_id};
use sqlx::postgres::PgConnectOptions;

use binaries::Binaries;
use cluster::Cluster;
use given::Given;
use template::{CloneStrategy, Owner};

pub use error::PostgresError;
pub use scratch_server::{Progress, Project, default_home};
pub use template::{Database, DatabaseName, DatabaseNameError, Template};
pub use url::read_url;

/// With this version came clones that choose how they are copied, and databases that name their locale provider.
const OLDEST_MAJOR: u32 = 15;

/// The newest version that this crate is tested with. A newer one is used where there is no other.
const NEWEST_MAJOR: u32 = 18;

/// Where a server may come from.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who asks.
    pub project: Project,
    /// A server that is running (`DATABASE_URL`). Its user must be allowed to create databases.
    pub database_url: Option<OsString>,
    /// Where the binaries of a private server come from; see [`Project::binaries_variable`].
    pub server: ServerChoice,
    /// The directory for clusters and caches; see [`default_home`].
    pub home: PathBuf,
    /// Where programs are searched for, as in `PATH`.
    pub search_path: OsString,
}

impl Options {
    /// What the environment says: `DATABASE_URL`, `PATH`, and the project's own two variables, such as `ACME_POSTGRES_BIN` and
    /// `ACME_HOME` for the project `acme`.
    pub fn from_env(project: Project) -> Self {
        // As the system has it: what is no text is refused where it is used, not taken for unset.
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let server = set(&project.binaries_variable());
        Self {
            project,
            database_url: set("DATABASE_URL"),
            server: server.map_or(ServerChoice::Any, ServerChoice::from),
            home: default_home(project),
            search_path: std::env::var_os("PATH").unwrap_or_default(),
        }
    }
}

/// Which binaries a private server is run from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerChoice {
    /// Those found on this machine, else portable ones.
    Any,
    /// Those in this directory, which holds `initdb` and `postgres`.
    Directory(PathBuf),
    /// Portable ones, whatever this machine has: `portable`.
    Portable,
}

impl From<OsString> for ServerChoice {
    fn from(named: OsString) -> Self {
        match named.to_str() {
            Some("portable") => Self::Portable,
            _ => Self::Directory(named.into()),
        }
    }
}

/// A PostgreSQL server to work on.
///
/// Dropping it ends a private server soon after, and so does the end of this process, by `kill -9` too;
/// [`Postgres::stop`] waits until it is gone. It may be shared by several async runtimes.
#[derive(Debug)]
pub struct Postgres {
    project: Project,
    server: Server,
    admin_options: PgConnectOptions,
    version: String,
    origin: String,
    programs: Option<PathBuf>,
    run: String,
    databases: AtomicU32,
}

#[derive(Debug)]
enum Server {
    Private(Cluster),
    Given(Given),
}

impl Postgres {
    /// Finds or starts a server on which databases can be cloned from `template`. The first time, the template is
    /// built; `progress` hears of this and of fetching.
    ///
    /// # Errors
    ///
    /// Every [`PostgresError`] says what was tried, and its [`hint`](PostgresError::hint) what to do.
    pub async fn obtain(
        options: &Options,
        template: &Template,
        progress: Progress<'_>,
    ) -> Result<Self, PostgresError> {
        let project = options.project;
        if let Some(url) = &options.database_url {
            let given = Given::obtain(project, url, template, progress).await?;
            return Ok(Self {
                project,
                admin_options: given.admin_options.clone(),
                version: given.version.clone(),
                origin: format!("the given server {}", given.masked_url),
                programs: None,
                run: run_id(given.run),
                databases: AtomicU32::new(1),
                server: Server::Given(given),
            });
        }
        let area = Area::open(&cluster::POSTGRES, project, &options.home).await?;
        let binaries = Binaries::obtain(options, &area, progress).await?;
        let cluster = Cluster::obtain(&area, &binaries, template, progress).await?;
        Ok(Self {
            project,
            admin_options: cluster.admin_options.clone(),
            version: binaries.version,
            origin: format!("a private server from {}", binaries.dir.display()),
            programs: Some(binaries.dir),
            run: cluster.run_id(),
            databases: AtomicU32::new(1),
            server: Server::Private(cluster),
        })
    }

    /// The server's version as it writes it, such as `17.2`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Which server this is, in a few words, without its password.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The directory of a private server's programs, where others of its version may be too; none for a given server.
    pub fn programs(&self) -> Option<&Path> {
        self.programs.as_deref()
    }

    /// Clones the template into a database with a name of its own.
    ///
    /// # Errors
    ///
    /// [`PostgresError::Sql`] when the server is gone or refuses.
    pub async fn create_database(&self) -> Result<Database, PostgresError> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        self.clone_as(format!("{}{}_{number}", template::run_prefix(self.project), self.run), self.app())
            .await
    }

    /// Makes sure that there is a database called `name`: a clone of the template, unless one of that name is there
    /// already. A given server keeps it when this run ends. Says whether it was made.
    ///
    /// # Errors
    ///
    /// [`PostgresError::Sql`] when the server is gone or refuses.
    pub async fn keep_database(&self, name: &DatabaseName) -> Result<bool, PostgresError> {
        let mut admin = template::connect(&self.admin_options).await?;
        if template::exists(&mut admin, name.as_str()).await? {
            return Ok(false);
        }
        self.clone_as(name.as_str().to_owned(), None).await.map(|_| true)
    }

    /// The app's role, which does not outlive the run.
    fn app(&self) -> Option<&Owner> {
        match &self.server {
            Server::Private(cluster) => Some(&cluster.app),
            Server::Given(given) => given.app.as_ref(),
        }
    }

    async fn clone_as(&self, name: String, owner: Option<&Owner>) -> Result<Database, PostgresError> {
        let (template, strategy) = match &self.server {
            Server::Private(_) => (cluster::template_name(self.project), CloneStrategy::Files),
            Server::Given(given) => (given.template.clone(), CloneStrategy::Servers),
        };
        Database::clone_of(&template, strategy, name, &self.admin_options, owner).await
    }

    /// Resolves when the private server that this process started has ended although nobody asked it to, with the error that
    /// says so; never for a given server. Whatever still uses the server should end then, and [`Postgres::stop`] clears
    /// away what is left.
    pub async fn lost(&self) -> PostgresError {
        match &self.server {
            Server::Private(cluster) => cluster.lost().await,
            Server::Given(_) => std::future::pending().await,
        }
    }

    /// Ends a private server, and returns when it and its files are gone; drops the run's databases on a given one.
    ///
    /// # Errors
    ///
    /// [`PostgresError::Sql`] when a given server does not drop them. The next run on that server tries again.
    pub async fn stop(self) -> Result<(), PostgresError> {
        match self.server {
            Server::Private(cluster) => {
                cluster.stop().await;
                Ok(())
            }
            Server::Given(given) => given.clean_up().await,
        }
    }
}
