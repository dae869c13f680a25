//! Whether the SQL statements of a request grow with the data: the check `constant-statements`.

use std::time::Duration;

use target_app::catalogue::{CONSTANT_STATEMENTS, Exercise};

use super::{Audit, check, signal, skipped};
use crate::api::{Api, is_timeout};

/// SQL statements that a request may take, however much data there is.
const FEW: f64 = 10.0;

/// How long a statement may be sent after the answer, and still be put down to the request.
const SETTLED: Duration = Duration::from_millis(40);

/// The statements of a request about few rows and of one about many, each with its rows; nothing where no answer came in time,
/// or where the server does not tell its statements.
#[derive(Debug)]
pub struct Growth(Option<[Option<(i64, f64)>; 2]>);

impl Growth {
    /// Counts the statements of two requests, one about few rows and one about many. Each says how many rows were in its answer.
    pub async fn measure(
        api: &Api,
        few: impl Future<Output = anyhow::Result<i64>>,
        many: impl Future<Output = anyhow::Result<i64>>,
    ) -> anyhow::Result<Self> {
        if !api.counts_statements() {
            return Ok(Growth(None));
        }
        Ok(Growth(Some([count(api, few).await?, count(api, many).await?])))
    }

    /// Adds the check and its signal to `audit`, and begins its sentence with the counts. `rows` are, say, `orders`, and `request` is a `list`.
    pub fn judge(&self, exercise: &Exercise, rows: &str, request: &str, audit: &mut Audit) {
        let Some([few, many]) = self.0 else {
            audit.findings.checks.push(skipped(
                exercise,
                CONSTANT_STATEMENTS.name,
                "a foreign server does not tell its statements",
            ));
            return;
        };
        let words = |counted| match counted {
            Some((counted, statements)) => format!("{statements} for {counted} {rows}"),
            None => "no answer in time".into(),
        };
        let story = format!("statements: {}, {}", words(many), words(few));
        let held = few.zip(many).is_some_and(|((_, few), (_, many))| many <= few && many <= FEW);
        let expected = format!("at most {FEW}, and as many for many {rows} as for few");
        audit.findings.checks.push(check(exercise, CONSTANT_STATEMENTS.name, held, expected, story.clone()));
        if let Some((_, many)) = many {
            let name = format!("statements per {request}");
            audit.findings.signals.push(signal(&name, many, "statements", Some(FEW)));
        }
        audit.sentence = format!("{story}; {}", audit.sentence);
    }
}

/// The rows in a request's answer, and the statements that the server sends for it; nothing where it does not answer in time.
async fn count(
    api: &Api,
    request: impl Future<Output = anyhow::Result<i64>>,
) -> anyhow::Result<Option<(i64, f64)>> {
    let before = settled(api).await?;
    match request.await {
        Ok(rows) => Ok(Some((rows, settled(api).await? - before))),
        Err(error) if is_timeout(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The server's count of statements when it grows no more: a request may leave work behind.
async fn settled(api: &Api) -> anyhow::Result<f64> {
    let mut before = api.statements().await?;
    loop {
        tokio::time::sleep(SETTLED).await;
        let now = api.statements().await?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
}
