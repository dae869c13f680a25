//! The template database and its clones.

use std::fmt;
use std::pin::Pin;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};

use crate::url::write_url;
use crate::{PostgresError, Project};

/// Makes the owner of a clone the owner of all that is in it.
pub(crate) const OWNER: &str = include_str!("owner.sql");

/// Begins the name of every database and role of a run, before the run's id.
pub(crate) fn run_prefix(project: Project) -> String {
    format!("{}_run_", project.name())
}

/// Begins the name of every template on a given server, before the hash of its key.
pub(crate) fn template_prefix(project: Project) -> String {
    format!("{}_template_", project.name())
}

type Build =
    dyn Fn(PgConnectOptions) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>> + Send + Sync;

/// What every run's database starts as.
pub struct Template {
    pub(crate) key: String,
    build: Box<Build>,
}

impl Template {
    /// A template that `build` fills: it gets the way into an empty database. `key` names the result; it must change
    /// whenever `build` would fill the database differently, since a template is built once and then reused.
    pub fn new<F, R>(key: impl Into<String>, build: F) -> Self
    where
        F: Fn(PgConnectOptions) -> R + Send + Sync + 'static,
        R: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self { key: key.into(), build: Box::new(move |options| Box::pin(build(options))) }
    }

    /// Builds the template database `name`. Until it is complete it is called `unfinished`.
    pub(crate) async fn build(
        &self,
        admin_options: &PgConnectOptions,
        unfinished: &str,
        name: &str,
    ) -> Result<(), PostgresError> {
        // The given server's own locale must not decide how rows are sorted.
        let create = format!(
            "CREATE DATABASE {unfinished} TEMPLATE template0 \
             ENCODING 'UTF8' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
        );
        let mut admin = connect(admin_options).await?;
        execute(&mut admin, create).await?;
        let built = self.fill(admin_options, &mut admin, unfinished, name).await;
        if built.is_err() {
            // Why it failed matters more than whether this works; what stays behind is collected.
            let _ = drop_database(&mut admin, unfinished).await;
        }
        built
    }

    async fn fill(
        &self,
        admin_options: &PgConnectOptions,
        admin: &mut PgConnection,
        unfinished: &str,
        name: &str,
    ) -> Result<(), PostgresError> {
        let inside = admin_options.clone().database(unfinished);
        (self.build)(inside.clone()).await.map_err(PostgresError::Template)?;
        let mut connection = connect(&inside).await?;
        let owned = PostgresError::sql("make the owner of a clone the owner of what is in it");
        connection.execute(OWNER).await.map_err(owned)?;
        // Every clone starts with these statistics and hint bits, instead of getting them from autovacuum at some
        // moment of its run.
        execute(&mut connection, "VACUUM (FREEZE, ANALYZE)".into()).await?;
        let _ = connection.close().await;

        execute(admin, format!("ALTER DATABASE {unfinished} ALLOW_CONNECTIONS false")).await?;
        // A pool that `build` forgot would keep the template from being cloned.
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
            .bind(unfinished)
            .execute(&mut *admin)
            .await
            .map_err(PostgresError::sql(format!("end the sessions in {unfinished}")))?;
        execute(admin, format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await?;
        execute(admin, format!("ALTER DATABASE {name} IS_TEMPLATE true")).await
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Template").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A role that owns databases and what is in them, and may do nothing else on its server.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) name: String,
    pub(crate) password: String,
}

impl Owner {
    /// With a password that nobody can guess, to be made by [`Owner::create`].
    pub(crate) fn new(name: String) -> Self {
        Self { name, password: format!("{:032x}", rand::random::<u128>()) }
    }

    /// Makes the role. It may log in; that it may not do more is said in case the server's defaults ever change.
    pub(crate) async fn create(&self, admin: &mut PgConnection) -> Result<(), PostgresError> {
        let Self { name, password } = self;
        let rights = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS";
        let failed = PostgresError::sql(format!("create the role {name}"));
        let create = AssertSqlSafe(format!("CREATE ROLE {name} {rights} PASSWORD '{password}'"));
        admin.execute(create).await.map(|_| ()).map_err(failed)
    }

    /// The same way in, as this role.
    pub(crate) fn through(&self, admin_options: &PgConnectOptions) -> PgConnectOptions {
        admin_options.clone().username(&self.name).password(&self.password)
    }
}

/// A clone of the template. It lives until [`Database::drop`] or until its server is stopped.
///
/// It belongs to a role that owns nothing but such databases, as an application's should: what gets its SQL executed by the
/// app, whoever wrote it, reaches neither the server's files nor other databases. Where the user of a given server may not
/// make roles, it is that user's.
#[derive(Debug)]
pub struct Database {
    name: String,
    admin_options: PgConnectOptions,
    app: PgConnectOptions,
}

impl Database {
    pub(crate) async fn clone_of(
        template: &str,
        strategy: CloneStrategy,
        name: String,
        admin_options: &PgConnectOptions,
        owner: Option<&Owner>,
    ) -> Result<Self, PostgresError> {
        let mut admin = connect(admin_options).await?;
        let clause = strategy.clause();
        let owned = owner.map_or_else(String::new, |owner| format!(" OWNER {}", owner.name));
        execute(&mut admin, format!("CREATE DATABASE {name}{owned} TEMPLATE {template}{clause}")).await?;
        if owner.is_some() && strategy.is_shared() {
            // Other runs have roles too.
            execute(&mut admin, format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC")).await?;
        }
        let _ = admin.close().await;
        let app = owner.map_or_else(|| admin_options.clone(), |owner| owner.through(admin_options));
        Ok(Self { admin_options: admin_options.clone(), app: app.database(&name), name })
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its owner, the app's role, connects to it.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.app.clone()
    }

    /// The same as a URL, for a child process. It holds the password: not for logs.
    pub fn url(&self) -> String {
        write_url(&self.app)
    }

    /// How the server's user connects to it, who on a private server may do everything.
    pub fn admin_options(&self) -> PgConnectOptions {
        self.admin_options.clone().database(&self.name)
    }

    /// The same as a URL: not for logs, and not for the app.
    pub fn admin_url(&self) -> String {
        write_url(&self.admin_options())
    }

    /// Ends the sessions that still use it, and removes it.
    ///
    /// # Errors
    ///
    /// [`PostgresError::Sql`] when the server is gone or refuses.
    pub async fn drop(self) -> Result<(), PostgresError> {
        let mut admin = connect(&self.admin_options).await?;
        drop_database(&mut admin, &self.name).await?;
        let _ = admin.close().await;
        Ok(())
    }
}

/// The name of a database that outlives the run that made it. It needs no quotes in SQL, and is none of those that runs
/// use for their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseName(String);

impl DatabaseName {
    /// Checks a name that somebody chose.
    ///
    /// # Errors
    ///
    /// [`DatabaseNameError`] when it needs quotes, or is one of those that the project's runs use.
    pub fn new(project: Project, name: impl Into<String>) -> Result<Self, DatabaseNameError> {
        let name = name.into();
        let plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if name.is_empty() || !plain || name.as_bytes()[0].is_ascii_digit() || name.len() > 63 {
            return Err(DatabaseNameError::Quoted);
        }
        let taken = [run_prefix(project), template_prefix(project)];
        match taken.into_iter().find(|prefix| name.starts_with(prefix)) {
            Some(prefix) => Err(DatabaseNameError::Taken { prefix }),
            None => Ok(Self(name)),
        }
    }

    /// The name as the server writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a database cannot be called that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseNameError {
    /// It would need quotes, or is too long.
    #[error("a database's name is made of at most 63 of a to z, 0 to 9 and _, no digit first")]
    Quoted,
    /// Databases with such names are removed when they are left over.
    #[error("names that begin with {prefix} are reserved, and their databases are removed")]
    Taken {
        /// How the name begins.
        prefix: String,
    },
}

/// How a clone is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CloneStrategy {
    /// Copies files, between two checkpoints. Without fsync these cost little, and it is as fast as the other for small
    /// templates and faster for large ones.
    Files,
    /// The server's default, which leaves the checkpoints of a server that others use alone.
    Servers,
}

impl CloneStrategy {
    /// Whether runs of others use the same server.
    fn is_shared(self) -> bool {
        matches!(self, Self::Servers)
    }

    fn clause(self) -> &'static str {
        match self {
            Self::Files => " STRATEGY file_copy",
            Self::Servers => "",
        }
    }
}

/// A connection for housekeeping. Each piece of work opens its own: a connection belongs to the async runtime that
/// opened it, and a server may be shared by tests that each have one.
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, PostgresError> {
    let options = options.clone().disable_statement_logging();
    let to = options.get_database().unwrap_or_default().to_owned();
    options.connect().await.map_err(PostgresError::sql(format!("connect to the database {to:?}")))
}

pub(crate) async fn exists(admin: &mut PgConnection, name: &str) -> Result<bool, PostgresError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(admin)
        .await
        .map_err(PostgresError::sql(format!("look for the database {name}")))
}

pub(crate) async fn drop_database(admin: &mut PgConnection, name: &str) -> Result<(), PostgresError> {
    execute(admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
}

/// Runs one statement, made of names that are this module's own.
pub(crate) async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), PostgresError> {
    let failed = PostgresError::sql(format!("run `{sql}`"));
    connection.execute(AssertSqlSafe(sql)).await.map(|_| ()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_need_quotes_or_belong_to_runs_are_refused() {
        let tea = Project::new("tea");
        for name in ["pot", "pot_of_tea", "_2", "teapot_run_1", &"x".repeat(63)] {
            assert_eq!(DatabaseName::new(tea, name).unwrap().as_str(), name);
        }
        for name in ["", "2pot", "Pot", "pot;x", "pot-1", &"x".repeat(64)] {
            assert_eq!(DatabaseName::new(tea, name), Err(DatabaseNameError::Quoted), "{name}");
        }
        for (name, prefix) in [("tea_run_1_1", "tea_run_"), ("tea_template_0", "tea_template_")] {
            let taken = DatabaseNameError::Taken { prefix: prefix.into() };
            assert_eq!(DatabaseName::new(tea, name), Err(taken), "{name}");
        }
    }
}
