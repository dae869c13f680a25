//! The pure pieces of the hot path. The benchmark `hot_path` takes their times, `instructions` counts what they execute.

use std::hint::black_box;
use std::time::Duration;

use loadtests::load::{End, Fate, Load, Mode, Outcome, arrivals};
use sql_tally::Ignore;
use target_app::domain::money::Cents;
use tracing::{Dispatch, Level, dispatcher};
use tracing_subscriber::layer::SubscriberExt;

/// Something to measure: all that it needs is prepared.
pub type Work = Box<dyn FnMut()>;

/// A piece of the hot path.
pub struct Piece {
    /// Its name in the benchmarks.
    pub name: &'static str,
    /// How many arrivals, responses, amounts or statements one call of its work is about.
    pub items: u32,
    /// Prepares the work.
    pub prepare: fn(u32) -> Work,
}

/// All pieces. Names are part of saved results: a new meaning needs a new name.
pub const PIECES: &[Piece] = &[
    Piece { name: "schedule", items: 1_000, prepare: schedule },
    Piece { name: "recorder", items: 10_000, prepare: recorder },
    Piece { name: "money-total", items: 1_000, prepare: money_total },
    Piece { name: "money-to-text", items: 1_000, prepare: money_to_text },
    Piece { name: "money-to-json", items: 1_000, prepare: money_to_json },
    Piece { name: "money-from-json", items: 1_000, prepare: money_from_json },
    Piece { name: "statement-counted", items: 1_000, prepare: statement_counted },
    Piece { name: "statement-ignored", items: 1_000, prepare: statement_ignored },
];

/// The work of the piece with this name.
///
/// # Panics
/// When there is no such piece.
pub fn work(name: &str) -> Work {
    let piece = PIECES.iter().find(|piece| piece.name == name);
    let piece = piece.unwrap_or_else(|| panic!("there is no piece called {name}"));
    (piece.prepare)(piece.items)
}

/// Poisson arrivals over so many seconds as bring the wanted number on average.
fn schedule(arrivals: u32) -> Work {
    let rate = 1_000.0;
    let duration = Duration::from_secs_f64(f64::from(arrivals) / rate);
    Box::new(move || {
        let schedule = arrivals::poisson(&mut arrivals::seeded(42), rate, duration);
        assert!(black_box(schedule).is_sorted());
    })
}

/// Three orders to a refusal, a millisecond apart.
fn recorder(responses: u32) -> Work {
    let fate = |ticket: u32| {
        let at = Duration::from_millis(ticket.into());
        let outcome = if ticket.is_multiple_of(4) { Outcome::Expected("sold-out") } else { Outcome::Ok };
        Fate {
            number: ticket as usize,
            at,
            taken: at,
            sent: Some(at + Duration::from_micros(20)),
            done: at + Duration::from_micros(800 + u64::from(ticket % 100)),
            end: End::Judged(outcome),
        }
    };
    let fates: Vec<Fate> = (0..responses).map(fate).collect();
    let duration = Duration::from_millis(responses.into());
    Box::new(move || {
        let load = Load::new(Mode::Open, Duration::ZERO, duration, black_box(&fates), |_| "checkout", |_| 0);
        assert_eq!(black_box(load).tickets.ok, fates.len() as u64);
    })
}

/// Amounts of all lengths up to a million units.
fn amounts(count: u32) -> Vec<Cents> {
    (0..i64::from(count)).map(|n| Cents(n * n * 97 % 100_000_000)).collect()
}

fn money_total(count: u32) -> Work {
    let amounts = amounts(count);
    let expected: i64 = amounts.iter().map(|amount| 3 * amount.0).sum();
    Box::new(move || {
        let total: Cents = black_box(&amounts).iter().map(|amount| amount.times(3)).sum();
        assert_eq!(black_box(total).0, expected);
    })
}

fn money_to_text(count: u32) -> Work {
    let amounts = amounts(count);
    Box::new(move || {
        for amount in black_box(&amounts) {
            black_box(amount.to_string());
        }
    })
}

fn money_to_json(count: u32) -> Work {
    let amounts = amounts(count);
    Box::new(move || {
        let json = serde_json::to_string(black_box(&amounts));
        assert!(black_box(json).is_ok());
    })
}

fn money_from_json(count: u32) -> Work {
    let amounts = amounts(count);
    let json = serde_json::to_string(&amounts).expect("amounts can be written");
    Box::new(move || {
        let read: Vec<Cents> = serde_json::from_str(black_box(&json)).expect("what was written");
        assert!(black_box(read) == amounts);
    })
}

/// What the layer adds to a request that runs statements, without the metrics that are made of them.
fn statement_counted(count: u32) -> Work {
    let subscriber = Dispatch::new(tracing_subscriber::registry().with(sql_tally::layer(Ignore)));
    Box::new(move || {
        dispatcher::with_default(&subscriber, || {
            let span = tracing::info_span!(target: "target_app::telemetry", sql_tally::SPAN);
            span.in_scope(|| (0..count).for_each(|_| statement()));
            let tally = sql_tally::tally(&span).expect("the layer is installed");
            assert_eq!(tally.statements, u64::from(count));
        });
    })
}

/// The same where nobody counts.
fn statement_ignored(count: u32) -> Work {
    Box::new(move || (0..count).for_each(|_| statement()))
}

/// The event that sqlx makes of a statement, without the work of summing it up in words.
fn statement() {
    let elapsed = black_box(Duration::from_micros(50));
    tracing::event!(
        target: "sqlx::query",
        Level::DEBUG,
        summary = "SELECT id, name, price_cents …",
        db.statement = "\n\nSELECT id, name, price_cents FROM products WHERE id = $1\n",
        rows_affected = 0_u64,
        rows_returned = 1_u64,
        ?elapsed,
        elapsed_secs = elapsed.as_secs_f64(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_holds_what_it_asserts_call_after_call() {
        for piece in PIECES {
            let mut work = work(piece.name);
            work();
            work();
        }
    }
}
