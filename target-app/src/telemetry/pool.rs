//! What the connection pool says about itself, and what it does not say and can be worked out.
//!
//! - *Wait*: sqlx reports each connection that it hands out, with the time that it took. A wait in vain is not
//!   reported; it is known where its error becomes an answer, and it took the time that the pool allows.
//! - *Pending*: nobody can ask sqlx who waits. By Little's law, the mean number of waits at a time is the sum of the waits
//!   that ended in a period, divided by the period. Over a period much longer than one wait that is exact. The period is the
//!   last [`WINDOW`](super::window::WINDOW), whoever asks.
//! - *Use*: sqlx calls a hook when a connection goes out and one when it comes back, and gives both the connection's age.
//!   A connection has no other mark, but when it was made is as good as a name. Two that were made in the same
//!   microseconds may be mixed up, which swaps their times and changes neither count nor sum.
//!   The first use of a connection begins when it was made. A connection that is closed instead of coming back, because
//!   it broke or grew too old, is not counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use prometheus::{Counter, Gauge, Histogram};
use sqlx::PgPool;
use sqlx::pool::{PoolConnectionMetadata, PoolOptions};
use sqlx::postgres::Postgres;

use super::metrics::Metrics;
use super::spec;
use super::window::Window;

/// The pool's metrics.
#[derive(Debug)]
pub struct PoolMetrics {
    idle: Gauge,
    used: Gauge,
    max: Gauge,
    pending: Gauge,
    timeouts: Counter,
    wait: Histogram,
    use_time: Histogram,
    acquire_timeout: Duration,
    /// The waits that ended.
    waited: Mutex<Window>,
    in_use: Mutex<Vec<Use>>,
}

#[derive(Debug)]
struct Use {
    /// When the connection was made: its name.
    made: Instant,
    /// When it went out.
    out: Instant,
}

impl PoolMetrics {
    /// Of a pool that allows this time for handing out a connection.
    pub fn new(metrics: &Metrics, acquire_timeout: Duration) -> Self {
        PoolMetrics {
            idle: metrics.gauge(&spec::CONNECTIONS, &["idle"]),
            used: metrics.gauge(&spec::CONNECTIONS, &["used"]),
            max: metrics.gauge(&spec::CONNECTIONS_MAX, &[]),
            pending: metrics.gauge(&spec::CONNECTIONS_PENDING, &[]),
            timeouts: metrics.counter(&spec::CONNECTION_TIMEOUTS, &[]),
            wait: metrics.histogram(&spec::CONNECTION_WAIT, &[]),
            use_time: metrics.histogram(&spec::CONNECTION_USE, &[]),
            acquire_timeout,
            waited: Mutex::new(Window::new(Instant::now())),
            in_use: Mutex::default(),
        }
    }

    /// Records that a connection was handed out after `wait`.
    pub fn handed_out(&self, wait: Duration) {
        self.wait.observe(wait.as_secs_f64());
        self.waited.lock().unwrap_or_else(PoisonError::into_inner).add(Instant::now(), wait);
    }

    /// Records a wait in vain.
    pub fn timed_out(&self) {
        self.timeouts.inc();
        self.handed_out(self.acquire_timeout);
    }

    /// Brings the gauges up to date.
    pub fn scrape(&self, pool: &PgPool) {
        let idle = pool.num_idle();
        self.idle.set(idle as f64);
        // The two are read one after the other, so a connection may be seen idle that had not yet been counted.
        self.used.set((pool.size() as usize).saturating_sub(idle) as f64);
        self.max.set(pool.options().get_max_connections().into());
        let mut waited = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        self.pending.set(waited.rate(Instant::now()));
    }

    fn went_out(&self, made: Instant, most: usize) {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that never came back.
        if in_use.len() >= most {
            in_use.remove(0);
        }
        in_use.push(Use { made, out: Instant::now() });
    }

    /// Records that a connection came back.
    pub fn came_back(&self, connection: &PoolConnectionMetadata) {
        let made = Instant::now() - connection.age;
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        let distance = |one: &Use| made.max(one.made) - made.min(one.made);
        let nearest = (0..in_use.len()).min_by_key(|index| distance(&in_use[*index]));
        if let Some(index) = nearest {
            let one = in_use.remove(index);
            self.use_time.observe(one.out.elapsed().as_secs_f64());
        }
    }

    /// Has a pool report each connection that goes out; that one came back, [`Self::came_back`] is to be told.
    pub fn observe(self: &Arc<Self>, options: PoolOptions<Postgres>) -> PoolOptions<Postgres> {
        let most = options.get_max_connections() as usize;
        let [made, lent] = [self; 2].map(Arc::clone);
        options
            .acquire_time_level(log::LevelFilter::Debug)
            .after_connect(move |_, connection| {
                made.went_out(Instant::now() - connection.age, most);
                async { Ok(()) }.boxed()
            })
            .before_acquire(move |_, connection| {
                lent.went_out(Instant::now() - connection.age, most);
                async { Ok(true) }.boxed()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::spec::METRICS;

    #[tokio::test]
    async fn whoever_looks_first_leaves_the_waits_to_the_next() {
        let pool = PgPool::connect_lazy("postgres://nobody@127.0.0.1:1/none").unwrap();
        let metrics = Metrics::new(METRICS.iter().copied()).unwrap();
        let of_pool = PoolMetrics::new(&metrics, Duration::from_secs(3));
        of_pool.timed_out();
        for _ in 0..2 {
            of_pool.scrape(&pool);
            assert!(of_pool.pending.get() > 1.0, "a wait of 3 s ended within the last 2 s");
        }
    }
}
