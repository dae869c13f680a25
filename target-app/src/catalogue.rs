//! The one declaration that everything else is made from: what an exercise is.
//!
//! An exercise declares itself in its own `mod.rs`. The command line, the report, the docs index and the room test read
//! [`EXERCISES`](crate::exercises::EXERCISES); nothing keeps a second list.

pub mod symptoms;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::telemetry::MetricSpec;
use crate::telemetry::data_gauges::StartDataGauge;

/// One defect that real backends ship, with the fixes that look right and the fix that holds. What is serialized is what a
/// script may need and gives nothing away.
#[derive(Debug, Serialize)]
pub struct Exercise {
    /// Kebab-case name of the symptom. It never changes and never names the cause.
    pub id: &'static str,
    /// A few words for headings.
    pub title: &'static str,
    /// What a user reports, in one sentence.
    pub symptom: &'static str,
    /// Why it happens, in one or two sentences. A spoiler: shown only where the reader asked for it.
    #[serde(skip)]
    pub cause: &'static str,
    /// The public routes involved, as `METHOD /path`.
    pub routes: &'static [&'static str],
    /// Name of the load's requests that the exercise is about, which tables and curves show.
    pub headline: &'static str,
    /// All variants, buggy first, fixed last.
    pub variants: &'static [Variant],
    /// Other solutions, wrong (tempting) and right (fixed), by which the judge is judged; empty without the feature `corpus`.
    #[serde(skip)]
    pub corpus: &'static [Variant],
    /// What a verdict rests on.
    pub checks: &'static [CheckSpec],
    /// What to watch on a dashboard. The first is the one that exposes the defect, and it has a limit.
    #[serde(skip)]
    pub signals: &'static [Signal],
    /// What wakes somebody up when the symptom is there.
    #[serde(skip)]
    pub alert: Alert,
    /// Business facts that the server exports beside its general metrics.
    #[serde(skip)]
    pub metrics: &'static [&'static MetricSpec],
    /// The one of these that is read from the data, where the damage shows there alone.
    #[serde(skip)]
    pub data_gauge: Option<StartDataGauge>,
}

impl Exercise {
    /// The exercise's name in Rust paths and file names: `oversold_stock` for `oversold-stock`.
    pub fn snake_id(&self) -> String {
        self.id.replace('-', "_")
    }

    /// The variant called `name`, also one of the corpus.
    pub fn variant(&self, name: &str) -> Result<&'static Variant, UnknownName> {
        self.variants.iter().chain(self.corpus).find(|variant| variant.name == name).ok_or_else(|| {
            UnknownName::new(
                format!("variant of {}", self.id),
                name,
                self.variants.iter().map(|variant| variant.name),
            )
        })
    }

    /// The check called `name`. Panics when the exercise does not declare it, which a test of every scenario shows.
    pub fn check(&self, name: &str) -> &'static CheckSpec {
        self.checks
            .iter()
            .find(|check| check.name == name)
            .unwrap_or_else(|| panic!("{} declares no check called {name}", self.id))
    }
}

/// One way to write the exercise's function.
#[derive(Debug, Serialize)]
pub struct Variant {
    /// Kebab-case name, `buggy` and `fixed` among them.
    pub name: &'static str,
    /// What the variant is, and so what a run must find.
    pub kind: Kind,
    /// What its author would say for it, in one line.
    pub claim: &'static str,
    /// Names of the checks that it fails on every machine, because they follow from its defect. Others may fail beside them.
    pub must_fail: &'static [&'static str],
    /// The text of its source file: the diff between two of these is the lesson.
    #[serde(skip)]
    pub source: &'static str,
}

/// What a variant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What ships: code that passed review.
    Buggy,
    /// A fix that looks right and is not.
    Tempting,
    /// The fix that holds.
    Fixed,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Buggy => "buggy",
            Kind::Tempting => "tempting",
            Kind::Fixed => "fixed",
        })
    }
}

/// A check that a load verdict is made of.
#[derive(Debug, Serialize)]
pub struct CheckSpec {
    /// Kebab-case name, unique within the exercise.
    pub name: &'static str,
    /// What it rests on.
    pub kind: CheckKind,
    /// What a correct server keeps, in one sentence.
    pub promise: &'static str,
}

impl CheckSpec {
    /// A fact about the data after the run.
    pub const fn invariant(name: &'static str, promise: &'static str) -> Self {
        CheckSpec { name, kind: CheckKind::Invariant, promise }
    }

    /// What users would notice.
    pub const fn objective(name: &'static str, promise: &'static str) -> Self {
        CheckSpec { name, kind: CheckKind::Objective, promise }
    }

    /// A count that explains the symptom.
    pub const fn signal(name: &'static str, promise: &'static str) -> Self {
        CheckSpec { name, kind: CheckKind::Signal, promise }
    }
}

/// The check that every exercise has, and the first of each: whether the server answers one client, who sends one request
/// after another, as any correct server does.
pub const KEEPS_CONTRACT: CheckSpec = CheckSpec::invariant(
    "keeps-contract",
    "A single client, who sends one request after another, gets what the API promises.",
);

/// The check of an exercise whose bug is in the number of SQL statements.
pub const CONSTANT_STATEMENTS: CheckSpec = CheckSpec::signal(
    "constant-statements",
    "At most ten statements, and as many for many orders as for few.",
);

/// The check of an exercise in which nothing is refused.
pub const NO_FAILURES: CheckSpec =
    CheckSpec::objective("no-failures", "Every request gets the response it should.");

/// What a check rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// A fact about the data after the run: no noise can break it.
    Invariant,
    /// A latency or throughput that users would notice.
    Objective,
    /// A count that explains the symptom, such as statements per request.
    Signal,
    /// Something that must hold for the run to mean anything. When it fails, the run is invalid.
    Control,
}

impl fmt::Display for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            CheckKind::Invariant => "invariant",
            CheckKind::Objective => "objective",
            CheckKind::Signal => "signal",
            CheckKind::Control => "control",
        })
    }
}

/// Something to watch while an exercise runs.
#[derive(Debug)]
pub struct Signal {
    /// A few words for a panel's title.
    pub title: &'static str,
    /// How to read it, in a sentence or two, without the cause.
    pub description: &'static str,
    /// A PromQL expression over the metrics that the server exports, one series for each variant at least.
    ///
    /// `$scope` in a selector stands for the labels that say which servers are meant, and `$window` for the range of a
    /// rate: a dashboard, an alert and a test each put in their own.
    pub promql: &'static str,
    /// The unit of the result, as Grafana names it.
    pub unit: &'static str,
    /// What it stays within on a server that keeps its promises.
    pub limit: Option<f64>,
}

/// An alert on the symptom. Its name and texts do not give the cause away.
#[derive(Debug)]
pub struct Alert {
    /// `Stampede` and the symptom, such as `StampedeOversoldStock`.
    pub name: &'static str,
    /// The symptom as a number, one series a variant, with `$scope` and `$window` as in [`Signal::promql`].
    pub promql: &'static str,
    /// The unit of the number, as Grafana names it.
    pub unit: &'static str,
    /// It fires when the number is above this.
    pub above: f64,
    /// It fires only when that lasts for this long.
    pub hold: Duration,
    /// Who should react, and how soon.
    pub severity: Severity,
    /// One line, without figures.
    pub summary: &'static str,
    /// What it means for users and where to look first.
    pub description: &'static str,
    /// A world in which it fires for `variant="buggy"`.
    pub fires_on: &'static [Series],
    /// A world in which it must not.
    pub silent_on: &'static [Series],
}

/// Series for a test of an alert. Samples are 15 s apart, in the notation of `promtool test rules`.
#[derive(Debug)]
pub enum Series {
    /// A selector, in which `$scope` stands for what all series have in common, and its samples.
    One(&'static str, &'static str),
    /// A histogram's name, labels that it has beside that, and for each edge of its buckets the samples.
    Histogram(&'static str, &'static str, &'static [(&'static str, &'static str)]),
}

impl Series {
    /// Each series as a selector and its samples.
    pub fn samples(&self) -> Vec<(String, &'static str)> {
        match self {
            Series::One(selector, samples) => vec![((*selector).to_owned(), *samples)],
            Series::Histogram(name, labels, buckets) => {
                let bucket = |edge| format!(r#"{name}_bucket{{$scope, {labels}, le="{edge}"}}"#);
                buckets.iter().map(|(edge, samples)| (bucket(edge), *samples)).collect()
            }
        }
    }
}

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Users are hurt now: wake somebody.
    Critical,
    /// They will be: somebody looks at it on the next working day.
    Warning,
    /// For the record.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Info => "info",
        })
    }
}

/// A name that is not in a list, with the nearest that are.
#[derive(Debug, thiserror::Error)]
#[error("there is no {what} called '{name}'")]
pub struct UnknownName {
    what: String,
    name: String,
    near: Vec<&'static str>,
    all: Vec<&'static str>,
}

impl UnknownName {
    pub(crate) fn new(
        what: impl Into<String>,
        name: &str,
        known: impl Iterator<Item = &'static str>,
    ) -> Self {
        let all: Vec<_> = known.collect();
        let mut near: Vec<_> = all
            .iter()
            .map(|known| (strsim::jaro_winkler(known, name), *known))
            .filter(|(likeness, _)| *likeness > 0.7)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        UnknownName {
            what: what.into(),
            name: name.into(),
            near: near.into_iter().map(|(_, known)| known).collect(),
            all,
        }
    }

    /// What the user could have meant, as a sentence.
    pub fn hint(&self) -> String {
        match self.near.as_slice() {
            [] => format!("the names are: {}", self.all.join(", ")),
            near => format!("did you mean {}?", near.join(" or ")),
        }
    }
}
