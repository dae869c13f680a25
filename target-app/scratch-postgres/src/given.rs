//! A server that the user gave: checked before use, and left as it was found.

use std::ffi::OsStr;
use std::time::Duration;

use scratch_server::{hash, run_id};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::template::{
    OWNER, Owner, Template, connect, drop_database, execute, exists, run_prefix, template_prefix,
};
use crate::url::read_url;
use crate::{OLDEST_MAJOR, PostgresError, Progress, Project};

/// A server that has not answered by then is not there.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// The first half of the advisory locks that runs hold on their ids. Any number would do, as long as it is always the same:
/// runs of other builds have to be recognised.
const RUN_LOCK: i32 = 0x5374_616d;

/// The same for the building of templates.
const TEMPLATE_LOCK: i32 = 0x5374_6174;

/// A given server, with a run's mark on it.
#[derive(Debug)]
pub(crate) struct Given {
    project: Project,
    pub(crate) admin_options: PgConnectOptions,
    pub(crate) version: String,
    pub(crate) masked_url: String,
    pub(crate) template: String,
    pub(crate) run: u32,
    /// Whom clones belong to, where the given user may make roles and the server lets them in.
    pub(crate) app: Option<Owner>,
    /// Holds the lock on the run's id, which tells other runs that its databases are in use. It is not used otherwise:
    /// it belongs to the runtime that opened it.
    mark: PgConnection,
}

impl Given {
    pub(crate) async fn obtain(
        project: Project,
        url: &OsStr,
        template: &Template,
        progress: Progress<'_>,
    ) -> Result<Self, PostgresError> {
        let url = url.to_str().ok_or_else(|| PostgresError::Url {
            url: mask(&url.to_string_lossy()),
            reason: "it is not valid UTF-8".into(),
        })?;
        let (admin_options, mut admin, version, may_create_roles) = check(url).await?;
        let run = rand::random();
        sqlx::query("SELECT pg_advisory_lock($1, $2), set_config('idle_session_timeout', '0', false)")
            .bind(RUN_LOCK)
            .bind(half(run))
            .execute(&mut admin)
            .await
            .map_err(PostgresError::sql("mark the run"))?;
        collect(&admin_options, project).await?;
        let template = obtain_template(project, &admin_options, template, run, progress).await?;
        let app = if may_create_roles { create_app(project, &admin_options, run).await? } else { None };
        Ok(Self { project, admin_options, version, masked_url: mask(url), template, run, app, mark: admin })
    }

    /// Drops what the run made, its template excepted.
    pub(crate) async fn clean_up(mut self) -> Result<(), PostgresError> {
        let mut admin = connect(&self.admin_options).await?;
        for name in databases(&mut admin, self.project).await? {
            if run_of(self.project, &name) == Some(self.run) {
                drop_database(&mut admin, &name).await?;
            }
        }
        if let Some(app) = &self.app {
            drop_role(&mut admin, &app.name).await?;
        }
        // Explicitly: the server notices some time after it that a connection was dropped.
        sqlx::query("SELECT pg_advisory_unlock_all()")
            .execute(&mut self.mark)
            .await
            .map_err(PostgresError::sql("end the mark of the run"))?;
        Ok(())
    }
}

/// The way in, a connection, the server's version, and whether its user may make roles.
async fn check(url: &str) -> Result<(PgConnectOptions, PgConnection, String, bool), PostgresError> {
    let masked = mask(url);
    let admin_options = read_url(url).map_err(|error| refusal(masked.clone(), error))?;
    let quiet = admin_options.clone().disable_statement_logging();
    let mut admin = match tokio::time::timeout(CONNECT_DEADLINE, quiet.connect()).await {
        Ok(answer) => answer.map_err(|error| refusal(masked.clone(), error))?,
        Err(_) => {
            let reason = format!("no answer within {} s", CONNECT_DEADLINE.as_secs());
            return Err(PostgresError::Unreachable { url: masked, reason });
        }
    };
    let (number, version, user, may_create, may_create_roles): (i32, String, String, bool, bool) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'), rolname::text, \
                rolcreatedb OR rolsuper, rolcreaterole OR rolsuper \
         FROM pg_roles WHERE rolname = current_user",
    )
    .fetch_one(&mut admin)
    .await
    .map_err(PostgresError::sql("ask the server for its version and the user's rights"))?;
    if number < OLDEST_MAJOR as i32 * 10_000 {
        return Err(PostgresError::TooOld { url: masked, version });
    }
    if !may_create {
        return Err(PostgresError::MayNotCreateDatabases { url: masked, user });
    }
    Ok((admin_options, admin, version, may_create_roles))
}

/// Says what a failed connection means.
fn refusal(url: String, error: sqlx::Error) -> PostgresError {
    let reason = error.to_string();
    match &error {
        sqlx::Error::Configuration(reason) => PostgresError::Url { url, reason: reason.to_string() },
        sqlx::Error::Tls(_) => PostgresError::Tls { url, reason },
        sqlx::Error::Database(refused) => {
            let reason = refused.message().to_owned();
            match refused.code().as_deref() {
                // A rule of pg_hba.conf may ask for encryption, and says so.
                Some("28000") if reason.contains("no encryption") => PostgresError::Tls { url, reason },
                Some("28000" | "28P01") => PostgresError::Login { url, reason },
                Some("3D000") => PostgresError::NoSuchDatabase { url, reason },
                _ => PostgresError::Unreachable { url, reason },
            }
        }
        _ => PostgresError::Unreachable { url, reason },
    }
}

/// Finds or builds the template database for this key. It is named after the key, so every run on this server shares
/// it.
async fn obtain_template(
    project: Project,
    admin_options: &PgConnectOptions,
    template: &Template,
    run: u32,
    progress: Progress<'_>,
) -> Result<String, PostgresError> {
    let key = hash((&template.key, OWNER));
    let name = format!("{}{key:016x}", template_prefix(project));
    let mut admin = connect(admin_options).await?;
    // Held until this connection ends. The lock is of one database: a run that came in by another one may build at the
    // same time, and then the second renaming fails.
    sqlx::query("SELECT pg_advisory_lock($1, $2)")
        .bind(TEMPLATE_LOCK)
        .bind(half(key as u32))
        .execute(&mut admin)
        .await
        .map_err(PostgresError::sql("wait for another run that builds the template"))?;
    if !exists(&mut admin, &name).await? {
        progress("building the template database, once for this server");
        let unfinished = format!("{}{}_template", run_prefix(project), run_id(run));
        let built = template.build(admin_options, &unfinished, &name).await;
        if !exists(&mut admin, &name).await? {
            built?;
        }
    }
    // Dropped, it would hold the lock until the server notices.
    let _ = admin.close().await;
    Ok(name)
}

/// Makes the role that will own the run's databases. None where a rule of the server's keeps it out: the app then works as
/// the given user, who is let in.
async fn create_app(
    project: Project,
    admin_options: &PgConnectOptions,
    run: u32,
) -> Result<Option<Owner>, PostgresError> {
    let app = Owner::new(format!("{}{}_app", run_prefix(project), run_id(run)));
    let mut admin = connect(admin_options).await?;
    app.create(&mut admin).await?;
    // Whoever makes databases for the role, and drops them, has to be one of its members, unless it is a superuser.
    execute(&mut admin, format!("GRANT {} TO CURRENT_USER", app.name)).await?;
    let refused = match app.through(admin_options).disable_statement_logging().connect().await {
        Ok(connection) => {
            let _ = connection.close().await;
            return Ok(Some(app));
        }
        // The database in the URL may be closed to everybody else: then the login itself was right.
        Err(sqlx::Error::Database(refused)) if refused.code().as_deref() == Some("42501") => {
            return Ok(Some(app));
        }
        Err(refused) => refused,
    };
    tracing::warn!(%refused, "the server lets no other user in; the app works as the given one");
    drop_role(&mut admin, &app.name).await?;
    Ok(None)
}

async fn drop_role(admin: &mut PgConnection, name: &str) -> Result<(), PostgresError> {
    execute(admin, format!("DROP ROLE IF EXISTS {name}")).await
}

/// Drops the databases and the roles of runs that no longer hold their mark.
async fn collect(admin_options: &PgConnectOptions, project: Project) -> Result<(), PostgresError> {
    let mut admin = connect(admin_options).await?;
    // In this order: a run marks itself before it makes a database or a role.
    let databases = databases(&mut admin, project).await?;
    let roles = roles(&mut admin, project).await?;
    let marks: Vec<i64> = sqlx::query_scalar(
        "SELECT objid::bigint FROM pg_locks \
         WHERE locktype = 'advisory' AND objsubid = 2 AND classid::bigint = $1 AND granted",
    )
    .bind(i64::from(RUN_LOCK))
    .fetch_all(&mut admin)
    .await
    .map_err(PostgresError::sql("list the runs in progress"))?;
    let is_left = |name: &String| run_of(project, name).is_some_and(|run| !marks.contains(&i64::from(run)));
    // Another user's leftovers are that user's to drop.
    for name in databases.iter().filter(|name| is_left(name)) {
        if let Err(error) = drop_database(&mut admin, name).await {
            tracing::warn!(%name, %error, "a database of a killed run could not be dropped");
        }
    }
    for name in roles.iter().filter(|name| is_left(name)) {
        if let Err(error) = drop_role(&mut admin, name).await {
            tracing::warn!(%name, %error, "the role of a killed run could not be dropped");
        }
    }
    Ok(())
}

async fn roles(admin: &mut PgConnection, project: Project) -> Result<Vec<String>, PostgresError> {
    sqlx::query_scalar("SELECT rolname::text FROM pg_roles WHERE starts_with(rolname::text, $1)")
        .bind(run_prefix(project))
        .fetch_all(admin)
        .await
        .map_err(PostgresError::sql("list the roles of runs"))
}

async fn databases(admin: &mut PgConnection, project: Project) -> Result<Vec<String>, PostgresError> {
    sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE starts_with(datname::text, $1)")
        .bind(run_prefix(project))
        .fetch_all(admin)
        .await
        .map_err(PostgresError::sql("list the databases of runs"))
}

/// The run that a database or a role belongs to, by its name.
fn run_of(project: Project, name: &str) -> Option<u32> {
    let (id, _) = name.strip_prefix(&run_prefix(project))?.split_once('_')?;
    u32::from_str_radix(id, 16).ok().filter(|run| run_id(*run) == id)
}

/// The same bits, as PostgreSQL's lock functions take them.
fn half(bits: u32) -> i32 {
    i32::from_ne_bytes(bits.to_ne_bytes())
}

/// The URL without its secrets, for messages. It may be anything that somebody put into a variable.
fn mask(url: &str) -> String {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let mut masked = match address.rsplit_once('@') {
        Some((login, host)) => {
            let (scheme, user) = login.split_once("://").unwrap_or(("", login));
            let separator = if scheme.is_empty() { "" } else { "://" };
            let (user, secret) = user.split_once(':').map_or((user, ""), |(user, _)| (user, ":***"));
            format!("{scheme}{separator}{user}{secret}@{host}")
        }
        None => address.to_owned(),
    };
    if !query.is_empty() {
        masked.push('?');
        masked.push_str(if query.contains("password") { "***" } else { query });
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_the_rest_is_shown() {
        for (url, shown) in [
            (
                "postgres://me:se@cr:et@db:5432/x?sslmode=disable",
                "postgres://me:***@db:5432/x?sslmode=disable",
            ),
            ("postgres://me@db/x", "postgres://me@db/x"),
            ("postgres://db/x?user=me&password=secret", "postgres://db/x?***"),
            ("localhost", "localhost"),
            ("me:secret@db", "me:***@db"),
        ] {
            assert_eq!(mask(url), shown);
        }
    }

    #[test]
    fn only_databases_of_runs_have_an_owner() {
        let run_of = |name| run_of(Project::new("tea"), name);
        assert_eq!(run_of("tea_run_00c0ffee_3"), Some(0x00c0_ffee));
        assert_eq!(run_of("tea_run_00c0ffee_template"), Some(0x00c0_ffee));
        for other in [
            "tea_run_c0ffee_3",
            "tea_run_00c0ffee",
            "tea_run_+0c0ffee_1",
            "tea_x",
            "teapot_run_00c0ffee_3",
            "tea",
        ] {
            assert_eq!(run_of(other), None, "{other}");
        }
    }
}
