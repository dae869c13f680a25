//! Background work of the sales: sends confirmations, ends expired holds, and passes free pieces on. Every server runs it. Jobs are leased, so two
//! servers do not normally do the same one.

use std::time::Duration;

use futures::future::join_all;
use reqwest::StatusCode;
use sqlx::PgPool;
use uuid::Uuid;

use crate::domain::sales::{self, Job};
use crate::exercises::sale_meltdown::confirmation;
use crate::providers::{CallError, Providers};

/// How long to sleep when there was nothing to do.
const PAUSE: Duration = Duration::from_millis(100);

/// Jobs that are taken at a time, and holds that are ended or given out at a time.
const JOBS: i64 = 16;
const HOLDS: i64 = 500;

/// A job whose server was killed is done by another one after this time, so it is longer than a call may take.
const LEASE: Duration = Duration::from_millis(1_500);
const DEADLINE: Duration = Duration::from_secs(1);

/// A job that failed is done again after this time, twice as long after each attempt up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Runs until it is dropped. When the database cannot be reached, it tries again.
pub async fn work(pool: PgPool, providers: Providers) {
    let jobs = repeat("jobs of the sales could not be taken", || do_jobs(&pool, &providers));
    let holds = repeat("holds that are over could not be ended", || pass_on(&pool));
    // Separate loops: a mailer that hangs must not delay the waiting list.
    tokio::join!(jobs, holds);
}

/// Does `work` again and again, at once where there was something to do.
async fn repeat<W>(failed: &str, work: impl Fn() -> W)
where
    W: Future<Output = sqlx::Result<bool>>,
{
    loop {
        match work().await {
            Ok(true) => {}
            Ok(false) => tokio::time::sleep(PAUSE).await,
            Err(error) => {
                tracing::warn!(error = %error, "{failed}");
                tokio::time::sleep(10 * PAUSE).await;
            }
        }
    }
}

async fn do_jobs(pool: &PgPool, providers: &Providers) -> sqlx::Result<bool> {
    let jobs = sales::take_jobs(pool, JOBS, LEASE).await?;
    let noted = join_all(jobs.iter().map(|job| perform(pool, providers, job))).await;
    noted.into_iter().collect::<sqlx::Result<()>>()?;
    Ok(!jobs.is_empty())
}

/// Does one job. If anything fails, the job becomes due again.
async fn perform(pool: &PgPool, providers: &Providers, job: &Job) -> sqlx::Result<()> {
    if job.status != "held" {
        return sales::finish_job(pool, job).await;
    }
    let key = job.reservation_id.to_string();
    let mail = confirmation(job.reservation_id);
    let sent = tokio::time::timeout(DEADLINE, providers.send_mail(&key, &mail)).await;
    match sent {
        Ok(Ok(())) => sales::finish_job(pool, job).await,
        Ok(Err(refused @ CallError::Refused { status, .. })) if !is_for_now(status) => {
            tracing::error!(error = %refused, reservation = %job.reservation_id, "a confirmation was refused and is not sent");
            sales::finish_job(pool, job).await
        }
        not_sent => {
            let why = match &not_sent {
                Ok(Err(error)) => error.to_string(),
                _ => format!("no answer within {DEADLINE:?}"),
            };
            tracing::warn!(why, attempts = job.attempts, reservation = %job.reservation_id, "a confirmation is put off");
            sales::put_off_job(pool, job, pause_after(job.attempts)).await
        }
    }
}

/// Whether a refusal says "not now" instead of "never".
fn is_for_now(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
}

/// Ends expired holds, and gives free pieces to those who wait.
async fn pass_on(pool: &PgPool) -> sqlx::Result<bool> {
    let mut done = 0;
    for sale in sales::to_pass_on(pool).await? {
        match pass_on_of(pool, sale).await {
            Ok(passed_on) => done += passed_on,
            // The others must not have to wait for this one.
            Err(error) => tracing::warn!(error = %error, %sale, "pieces of a sale could not be passed on"),
        }
    }
    Ok(done > 0)
}

async fn pass_on_of(pool: &PgPool, sale: Uuid) -> sqlx::Result<i64> {
    let ended = sales::expire_due(pool, sale, HOLDS).await?;
    Ok(ended + sales::promote(pool, sale, HOLDS).await?)
}

fn pause_after(attempts: i32) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1 << attempts.clamp(1, 16).saturating_sub(1));
    doubled.min(LONGEST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_fails_is_put_off_for_longer_and_not_for_ever() {
        let pauses: Vec<_> = (1..=3).map(|attempts| pause_after(attempts).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800]);
        assert_eq!(pause_after(i32::MAX), LONGEST_RETRY);
        assert_eq!(pause_after(i32::MIN), FIRST_RETRY);
    }
}
