//! What the benchmarks of the exercises share: a runtime, databases to work on, and the statements that a call takes.

use std::cell::{LazyCell, OnceCell};
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode};
use loadtests::lab::database_hint;
use scratch_postgres::{Options, Postgres};
use simulated_providers::{Options as SimulatedOptions, Providers as Simulated};
use sql_tally::Ignore;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use target_app::PROJECT;
use target_app::catalogue::Exercise;
use target_app::exercises::all_metrics;
use target_app::providers::Providers;
use target_app::seed::{Scale, template};
use target_app::telemetry::{self, Switch, Telemetry};
use tokio::runtime::Runtime;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

/// Settings that keep a run of all benchmarks to a few minutes. The options of a benchmark's command line win over
/// them, which is why no group sets these times itself.
pub fn settings(samples: usize) -> Criterion {
    Criterion::default()
        .sample_size(samples)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        // A plot of each benchmark's samples costs as much time as the samples of the quick ones.
        .without_plots()
}

/// A benchmark of how the time of one call grows with the data: each variant of an exercise with each size.
#[expect(async_fn_in_trait, reason = "a benchmark runs on one thread")]
pub trait Growth {
    /// Whose benchmark it is.
    const EXERCISE: &'static Exercise;

    /// How much data there is.
    const SIZES: [u64; 3];

    /// All variants.
    const VARIANTS: &'static [Self::Variant];

    /// The exercise's variants.
    type Variant: Copy + Debug + 'static;

    /// The exercise as a server runs it.
    type Service;

    /// In this variant.
    fn service(variant: Self::Variant) -> Self::Service;

    /// Makes so much data, in a database that all variants share.
    async fn with(pool: PgPool, size: u64) -> Self;

    /// Makes a call and checks its answer.
    async fn call(&self, service: &Self::Service);

    /// Makes the data what it was before the call, where a call changes it. This is not measured.
    async fn put_back(&self) {}

    /// The SQL statements that a server's first call takes, which are counted and printed.
    fn statements(&self, variant: Self::Variant) -> u64;

    /// Measures.
    fn measure(criterion: &mut Criterion)
    where
        Self: Sized,
    {
        let lab = Lab::open();
        let mut group = criterion.benchmark_group(Self::EXERCISE.id);
        // A call of the slowest takes a second: each sample is one call of it, not a rising number of calls.
        group.sampling_mode(SamplingMode::Flat);
        for size in Self::SIZES {
            let data = LazyCell::new(|| lab.runtime.block_on(Self::with(lab.database(), size)));
            for (variant, entry) in Self::VARIANTS.iter().copied().zip(Self::EXERCISE.variants) {
                let service = OnceCell::new();
                group.bench_function(BenchmarkId::new(entry.name, size), |bencher| {
                    let service = service.get_or_init(|| {
                        let service = Self::service(variant);
                        let ((), statements) = lab.count_statements(data.call(&service));
                        lab.runtime.block_on(data.put_back());
                        assert_eq!(
                            statements,
                            data.statements(variant),
                            "statements of {variant:?} for {size}"
                        );
                        println!("{statements} statements a call");
                        service
                    });
                    bencher.to_async(&lab.runtime).iter_custom(async |calls| {
                        let mut took = Duration::ZERO;
                        for _ in 0..calls {
                            let start = Instant::now();
                            data.call(service).await;
                            took += start.elapsed();
                            data.put_back().await;
                        }
                        took
                    });
                });
            }
        }
        group.finish();
        lab.close();
    }
}

/// Outside services that answer at once, in this process.
#[derive(Debug)]
pub struct Outside {
    /// The way to call them.
    pub providers: Providers,
    _simulated: Simulated,
}

impl Outside {
    /// Starts them on this runtime.
    pub async fn start() -> Self {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let options =
            SimulatedOptions { listen: any_port, operator_listen: any_port, seed: 42, secret: Vec::new() };
        let simulated = Simulated::start(&options).await.expect("outside services");
        let url = format!("http://{}", simulated.address).parse().expect("a URL");
        let options = telemetry::Options { run_id: String::new(), telemetry: Switch::Off, otlp: None };
        let telemetry = Telemetry::start(&options, all_metrics(), Duration::from_secs(300));
        let telemetry = Arc::new(telemetry.expect("telemetry that is off"));
        Outside {
            providers: Providers::new(Some(url), telemetry).expect("an HTTP client"),
            _simulated: simulated,
        }
    }
}

/// A runtime, and a PostgreSQL server that starts when the first benchmark asks for a database: one that is filtered
/// out, or needs none, does not wait for it.
#[derive(Debug)]
pub struct Lab {
    /// One thread, so that nothing but the benchmark and its database needs a processor.
    pub runtime: Runtime,
    postgres: OnceCell<Postgres>,
}

impl Lab {
    /// A laboratory without a server yet.
    pub fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { runtime: runtime.expect("a runtime"), postgres: OnceCell::new() }
    }

    /// A clone of the small data set of its own, through as many connections as the server has by default.
    ///
    /// # Panics
    /// When no PostgreSQL can be found or fetched. The message says what was tried.
    pub fn database(&self) -> PgPool {
        let (options, template) = (Options::from_env(PROJECT), template(Scale::Small, 42));
        let start = || {
            let server = Postgres::obtain(&options, &template, &|step| eprintln!("{step}"));
            self.runtime.block_on(server).unwrap_or_else(|error| panic!("{error}\n{}", database_hint(&error)))
        };
        let server = self.postgres.get_or_init(start);
        self.runtime.block_on(async {
            let database = server.create_database().await.expect("a clone of the data");
            let options = PgPoolOptions::new()
                .max_connections(10)
                .test_before_acquire(false)
                // A slow call is what is measured here, not how soon it is given up.
                .acquire_timeout(Duration::from_secs(300));
            options.connect_with(database.connect_options()).await.expect("a connection")
        })
    }

    /// The answer of some work, and how many SQL statements it took.
    pub fn count_statements<T>(&self, work: impl Future<Output = T>) -> (T, u64) {
        let subscriber = tracing_subscriber::registry().with(sql_tally::layer(Ignore));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!(target: "target_app::telemetry", sql_tally::SPAN);
            let answer = self.runtime.block_on(work.instrument(span.clone()));
            (answer, sql_tally::tally(&span).expect("the layer is installed").statements)
        })
    }

    /// Ends the server, if one was started.
    pub fn close(self) {
        if let Some(server) = self.postgres.into_inner() {
            self.runtime.block_on(server.stop()).expect("the databases are dropped");
        }
    }
}
