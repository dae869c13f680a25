//! One exercise under load, and what Prometheus has to say of it then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dashboards::docs::Docs;
use dashboards::grafana::{Dashboard, with_all_chosen};
use dashboards::prometheus::servers;
use loadtests::compare::{self, Job, ShapeChange, Watch};
use loadtests::exporter::Exporter;
use loadtests::lab::{Lab, Setting};
use loadtests::load::{Cancel, Mode};
use loadtests::scenarios::scenario;
use target_app::catalogue::Exercise;
use target_app::seed::Scale;

use super::prometheus::{Prometheus, Series, until};

/// Long enough for each rate to have its samples, and for a variant that stands still to show it.
const DURATION: Duration = Duration::from_secs(10);

/// Evaluations that an alert may take after the first at which its symptom was there.
const EVALUATIONS: usize = 2;

/// Fires always, in the group of the symptoms: its samples are the group's evaluations.
const WATCHDOG: &str = r#"ALERTS{alertname="StampedeWatchdog"}"#;

/// The database that all exercises run on.
pub struct Bench(compare::Bench);

struct Quiet;

impl Watch for Quiet {
    fn round(&self, exercise: &str, variant: &str, _: u32, _: u32) {
        println!("live {exercise}, {variant}");
    }

    fn done(&self) {}

    fn note(&self, text: &str) {
        println!("  {text}");
    }
}

impl Bench {
    pub async fn open() -> Self {
        let setting = Setting { scale: Scale::Small, seed: 42, db_rtt: Duration::ZERO };
        let lab = Lab::open(setting, &|_| ()).await.expect("a database");
        Bench(compare::Bench::Lab(Box::new(lab)))
    }

    pub async fn close(self) {
        self.0.close().await.expect("the database ends");
    }

    /// Drives the exercise, and gives the queries of the general dashboards that had no data under it.
    pub async fn prove(&self, exercise: &'static Exercise) -> BTreeSet<String> {
        let exporter = Exporter::listen(0).await.expect("a port");
        let prometheus = Prometheus::start(exporter.address).await;
        let start = now();
        until("alerts are evaluated", async || {
            (!prometheus.samples(WATCHDOG, 60.0, now()).await.is_empty()).then_some(())
        })
        .await;
        self.drive(exercise, exporter).await;
        let end = now();
        let seen = Seen { prometheus, start, end };
        seen.assert_signal_separates(exercise).await;
        seen.assert_alert(exercise).await;
        seen.without_data(exercise).await
    }

    async fn drive(&self, exercise: &'static Exercise, exporter: Exporter) {
        let out = tempfile::tempdir().expect("a folder");
        let variants = ["buggy", "fixed"].map(|name| exercise.variant(name).expect("every exercise has it"));
        let job = Job {
            exercises: vec![(scenario(exercise.id).expect("a scenario"), variants.to_vec())],
            solution: None,
            only_contracts: false,
            rounds: 1,
            seed: 42,
            mode: Mode::Open,
            shape: ShapeChange { rate: gentle_rate(exercise.id), duration: Some(DURATION), replicas: None },
            out: out.path().to_path_buf(),
            command: "live test".into(),
            exporter: Some(exporter),
        };
        std::fs::create_dir_all(job.logs()).expect("a folder");
        let (results, ended) = compare::run(&job, &self.0, &Cancel::new(), &Quiet).await;
        ended.expect("a run");
        assert!(results.complete);
    }
}

/// Requests a second at which also an unoptimised server answers some before its clients give up.
fn gentle_rate(id: &str) -> Option<f64> {
    matches!(id, "slow-order-list" | "slow-analytics").then_some(8.0)
}

/// A run that Prometheus has seen, in seconds of the wall clock.
struct Seen {
    prometheus: Prometheus,
    start: f64,
    end: f64,
}

impl Seen {
    /// Samples of the fixed variant stay within the limit, and some of the buggy one do not.
    async fn assert_signal_separates(&self, exercise: &Exercise) {
        let signal = &exercise.signals[0];
        let limit = signal.limit.expect("the signal that exposes the defect has a limit");
        let series = self.prometheus.range(&servers().fill(signal.promql), self.start, self.end).await;
        let worst = worst_by_variant(&series);
        println!("  {}: worst {worst:?}, limit {limit}", signal.title);
        let worst = |variant: &str| {
            *worst.get(variant).unwrap_or_else(|| panic!("{}: no samples of {variant}", signal.title))
        };
        assert!(worst("buggy") > limit, "{} does not expose buggy: {}", signal.title, worst("buggy"));
        assert!(worst("fixed") <= limit, "{} exposes fixed: {}", signal.title, worst("fixed"));
    }

    /// The alert fired on buggy, soon after the symptom was there, and was never even pending for fixed.
    async fn assert_alert(&self, exercise: &Exercise) {
        let alert = &exercise.alert;
        let evaluations: Vec<f64> = {
            let watchdog = self.prometheus.samples(WATCHDOG, self.end - self.start, self.end).await;
            watchdog.iter().flat_map(|series| &series.samples).map(|(at, _)| *at).collect()
        };
        let first = |series: &[Series]| {
            let times = series.iter().flat_map(|series| &series.samples).map(|(at, _)| *at);
            times.min_by(f64::total_cmp)
        };

        // Evaluations are whole seconds apart, so steps of a second from the first one meet all of them.
        let symptom = format!("{} > {}", servers().fill(alert.promql), alert.above);
        let symptomatic = self.prometheus.range(&symptom, evaluations[0], self.end).await;
        let buggy: Vec<Series> =
            symptomatic.into_iter().filter(|series| series.labels["variant"] == "buggy").collect();
        let appeared =
            first(&buggy).unwrap_or_else(|| panic!("{}: buggy never shows its symptom", alert.name));

        let of = |variant: &str, state: &str| {
            format!(r#"ALERTS{{alertname="{}", variant="{variant}", alertstate=~"{state}"}}"#, alert.name)
        };
        let fired = self.prometheus.samples(&of("buggy", "firing"), self.end - self.start, self.end).await;
        let fired = first(&fired).unwrap_or_else(|| panic!("{} did not fire on buggy", alert.name));
        let between = evaluations.iter().filter(|at| **at > appeared && **at <= fired).count();
        println!("  {}: fired {between} evaluations after its symptom", alert.name);
        assert!(between <= EVALUATIONS, "{} took {between} evaluations", alert.name);

        let of_fixed = self.prometheus.samples(&of("fixed", ".+"), self.end - self.start, self.end).await;
        assert!(of_fixed.is_empty(), "{} on fixed: {of_fixed:?}", alert.name);
    }

    /// Asserts that every query of the exercise's own dashboard has data; gives those of the others that have none.
    async fn without_data(&self, exercise: &Exercise) -> BTreeSet<String> {
        let mut general = BTreeSet::new();
        let dashboards = dashboards::grafana::dashboards(&Docs::default());
        let is_of_another = |dashboard: &&Dashboard| {
            dashboard.uid != exercise.id && target_app::exercises::exercise(&dashboard.uid).is_ok()
        };
        for dashboard in dashboards.iter().filter(|dashboard| !is_of_another(dashboard)) {
            for (panel, query) in dashboard.queries() {
                let expr = with_all_chosen(&dashboard.scope().fill(&query.promql));
                let series = self.prometheus.range(&expr, self.start, self.end).await;
                let has_data =
                    series.iter().flat_map(|series| &series.samples).any(|(_, value)| !value.is_nan());
                let what = format!("{}, {}: {}", dashboard.uid, panel.title, query.promql);
                if !has_data && dashboard.uid == exercise.id {
                    panic!("no data for {what}");
                } else if !has_data {
                    general.insert(what);
                }
            }
        }
        general
    }
}

fn worst_by_variant(series: &[Series]) -> BTreeMap<String, f64> {
    let mut worst = BTreeMap::new();
    for Series { labels, samples } in series {
        let variant = labels["variant"].as_str().unwrap_or_default().to_owned();
        for (_, value) in samples.iter().filter(|(_, value)| !value.is_nan()) {
            let entry = worst.entry(variant.clone()).or_insert(*value);
            *entry = value.max(*entry);
        }
    }
    worst
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs_f64()
}
