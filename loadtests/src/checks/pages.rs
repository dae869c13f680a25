//! A page that is read beside a neighbour, while others write what it has to show: the load that such exercises have in common,
//! and what is judged of it.

use std::time::Duration;

use rand::RngExt;
use rand_pcg::Pcg64;
use target_app::catalogue::{Exercise, NO_FAILURES};

use super::{Audit, Findings, check, no_failures, p99_within, signal};
use crate::api::Api;
use crate::hint::Hinted;
use crate::load::{Load, Request, Shape, Ticket, arrivals};

/// Requests a second for the page.
const RATE: f64 = 40.0;
/// Requests for its neighbour, and writes, for each request for the page.
const NEIGHBOURS: f64 = 2.0;
const WRITES: f64 = 0.25;
/// Writes at most, however long the load goes on: the page must not grow until no server could make it in time.
const MOST_WRITES: f64 = 200.0;
/// Of this many readers of the page, one leaves before the answer.
const LEAVER: u32 = 12;
/// Pieces of one product that an audit buys, at most.
const AUDIT_BUYS: usize = 120;
/// What the two objectives allow, in microseconds.
const LIMIT_US: u64 = 10_000;

/// The latencies that its objectives allow.
pub const LIMITS: &[Duration] = &[Duration::from_micros(LIMIT_US)];

/// The name of the requests of those who leave.
pub const LEAVES: &str = "leaver";

/// The outcome of an answer that is not what it must be.
pub const WRONG: &str = "wrong-answer";

/// The shape of the load.
pub const SHAPE: Shape = Shape { rate: None, duration: Duration::from_millis(2_300), replicas: 1 };

/// Requests a second of all three streams, at most.
pub fn total_rate(rate: Option<f64>) -> f64 {
    rate.unwrap_or(RATE) * (1.0 + NEIGHBOURS + WRITES)
}

/// Writes a second.
fn writes(shape: &Shape) -> f64 {
    let writes = shape.rate.unwrap_or(RATE) * WRITES;
    writes.min(MOST_WRITES / shape.duration.as_secs_f64())
}

/// The schedule: Poisson arrivals of each of these requests. `write` buys one of `in_stock` pieces.
///
/// # Errors
/// When the writes leave too few pieces for the audit.
pub fn tickets(
    rng: &mut Pcg64,
    shape: &Shape,
    page: &Request,
    neighbour: &Request,
    write: &Request,
    in_stock: i32,
) -> Result<Vec<Ticket>, Hinted> {
    let rate = shape.rate.unwrap_or(RATE);
    let mut tickets = Vec::new();
    for (request, rate) in [(page, rate), (neighbour, rate * NEIGHBOURS), (write, writes(shape))] {
        for at in arrivals::poisson(rng, rate, shape.duration) {
            let mut request = request.clone();
            if request.name == page.name && rng.random_ratio(1, LEAVER) {
                request.name = LEAVES;
                request.hang_up = Some(Duration::from_micros(rng.random_range(200..5_000)));
            }
            tickets.push(Ticket { at, request });
        }
    }
    ensure_enough(&tickets, write.name, in_stock)?;
    Ok(tickets)
}

/// Gives everything that can be bought so many pieces that a load of any length sells none of it out. A foreign server has
/// what it has.
///
/// # Errors
/// When the database cannot be reached.
pub async fn restock(api: &Api) -> anyhow::Result<()> {
    if let Some(mut database) = api.database().await? {
        let more =
            "UPDATE products SET stock = stock + 1000000; UPDATE menu_items SET stock = stock + 1000000";
        sqlx::raw_sql(more).execute(&mut database).await?;
    }
    Ok(())
}

/// Whether the writes of a schedule, each of which buys one of `in_stock` pieces, leave enough of them for the audit.
fn ensure_enough(tickets: &[Ticket], write: &str, in_stock: i32) -> Result<(), Hinted> {
    let bought = tickets.iter().filter(|ticket| ticket.request.name == write).count() + AUDIT_BUYS;
    if bought as i64 <= i64::from(in_stock) {
        return Ok(());
    }
    let few =
        format!("the load and its audit buy {bought} pieces of one product, and {in_stock} are in stock");
    Err(Hinted::new(
        few,
        "choose a shorter --duration or a lower --rate, or give the server the seeded data anew",
    ))
}

/// The load in words: `page` is, say, `lists of a customer with 120 orders`.
pub fn describe(shape: &Shape, servers: &str, page: &str, neighbour: &str, write: &str) -> String {
    let rate = shape.rate.unwrap_or(RATE);
    format!(
        "Poisson arrivals over {servers}: {rate:.0} {page} a second, {:.0} {neighbour}, and {:.0} {write}. One reader in \
         {LEAVER} hangs up",
        rate * NEIGHBOURS,
        writes(shape),
    )
}

/// The checks `PAGE-p99`, `NEIGHBOUR-p99` and `no-failures`, where both are the names of their requests.
pub fn objectives(exercise: &Exercise, load: &Load, page: &str, neighbour: &str) -> Findings {
    let p99 = |request: &str| p99_within(exercise, &format!("{request}-p99"), load, request, LIMIT_US);
    let beside = load.response(neighbour).value_at_quantile(0.99) as f64 / 1000.0;
    Findings {
        checks: vec![
            p99(page),
            p99(neighbour),
            no_failures(exercise, NO_FAILURES.name, "every request is answered as it should be", load),
        ],
        signals: vec![signal(&format!("{neighbour} p99"), beside, "ms", Some(LIMIT_US as f64 / 1000.0))],
    }
}

/// The check called `name`: every answer to the page was right, none of them out of date, and so it was `afterwards`.
pub fn answers(
    exercise: &Exercise,
    name: &str,
    load: &Load,
    page: &str,
    stale: usize,
    afterwards: anyhow::Result<()>,
) -> Audit {
    let (wrong, right) = (load.count(page, WRONG), load.count(page, "ok"));
    let held = wrong == 0 && stale == 0 && right > 0 && afterwards.is_ok();
    let expected = "each answer has everything that was confirmed before it was asked for, and so have those after the load";
    let observed = match (wrong + right, afterwards) {
        (0, _) => "no answer to compare".into(),
        (_, Err(error)) => format!("after the load: {error:#}"),
        (answers, _) => format!("of {answers} answers {wrong} are wrong and {stale} out of date"),
    };
    Audit {
        sentence: format!("{right} of {} answers right", load.response(page).len()),
        findings: Findings {
            checks: vec![check(exercise, name, held, expected, observed)],
            signals: Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(seconds: u64, in_stock: i32) -> Result<usize, Hinted> {
        let shape = Shape { duration: Duration::from_secs(seconds), ..SHAPE };
        let [page, neighbour] = ["page", "neighbour"].map(|name| Request::get(name, "/"));
        let write = Request::get("write", "/");
        let tickets = tickets(&mut arrivals::seeded(42), &shape, &page, &neighbour, &write, in_stock)?;
        Ok(tickets.iter().filter(|ticket| ticket.request.name == "write").count())
    }

    #[test]
    fn a_page_grows_by_the_same_however_long_the_load_goes_on() {
        for seconds in [20, 60, 600] {
            let writes = planned(seconds, i32::MAX).unwrap();
            assert!((150..250).contains(&writes), "{writes} in {seconds} s");
        }
        assert!(planned(2, i32::MAX).unwrap() < 50);
    }

    #[test]
    fn a_load_that_would_sell_its_product_out_is_refused() {
        let enough = (planned(20, i32::MAX).unwrap() + AUDIT_BUYS) as i32;
        assert!(planned(20, enough).is_ok());
        let refused = planned(20, enough - 1).unwrap_err().to_string();
        assert!(refused.contains(&format!("buy {enough} pieces")), "{refused}");
    }
}
