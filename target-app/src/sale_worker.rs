//! Does what sales leave to do, beside the requests: every server takes jobs that are due, and no two take the same.

use std::time::Duration;

use futures::future::join_all;
use sqlx::PgPool;

use crate::domain::sales::{self, Job};
use crate::exercises::sale_meltdown::confirmation;
use crate::providers::Providers;

/// Between two looks at the jobs, when none was due.
const PAUSE: Duration = Duration::from_millis(100);

/// Jobs that are taken at a time.
const AT_A_TIME: i64 = 16;

/// A job whose server was killed is done by another one after this time, so it is longer than a call may take.
const LEASE: Duration = Duration::from_secs(3);
const DEADLINE: Duration = Duration::from_secs(2);

/// A job that failed is done again after this time, twice as long after each attempt up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Does jobs until it is dropped. A database that is not there is asked again.
pub async fn work(pool: PgPool, providers: Providers) {
    loop {
        match sales::take_jobs(&pool, AT_A_TIME, LEASE).await {
            Ok(jobs) if jobs.is_empty() => tokio::time::sleep(PAUSE).await,
            Ok(jobs) => drop(join_all(jobs.iter().map(|job| perform(&pool, &providers, job))).await),
            Err(error) => {
                tracing::warn!(error = %error, "jobs of the sales could not be taken");
                tokio::time::sleep(10 * PAUSE).await;
            }
        }
    }
}

/// Does one job. Of what fails here nothing is lost: the job is due again.
async fn perform(pool: &PgPool, providers: &Providers, job: &Job) {
    let mail = confirmation(job.reservation_id);
    let key = job.reservation_id.to_string();
    let sent = tokio::time::timeout(DEADLINE, providers.send_mail(&key, &mail)).await;
    let noted = match sent {
        Ok(Ok(())) => sales::finish_job(pool, job).await,
        _ => sales::put_off_job(pool, job, pause_after(job.attempts)).await,
    };
    if let Err(error) = noted {
        tracing::warn!(error = %error, reservation = %job.reservation_id, "a job could not be noted as done; it is done again");
    }
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
