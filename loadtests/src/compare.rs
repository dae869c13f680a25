//! Rounds in ABBA order, each on fresh servers and fresh data, and the results they add up to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::FutureExt;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use target_app::catalogue::{KEEPS_CONTRACT, Kind, Variant};
use target_app::exercises::Variants;

use crate::api::Api;
use crate::exporter::{Exporter, Listed};
use crate::faults;
use crate::hint::Hinted;
use crate::lab::{Deployment, Lab};
use crate::load::metrics::Meter;
use crate::load::{self, Cancel, LoadError, Mode, Outcome, Plan, Shape, Timeline, arrivals};
use crate::reference::{self, REFERENCE, Reference};
use crate::report;
use crate::results::{Environment, ExerciseResult, Generator, Results, SCHEMA_VERSION, VariantResult};
use crate::scenarios::{self, AnyScenario, WARM_UP};
use crate::verdict::{self, RoundResult};

/// What requests in flight get at the end of a schedule; a third of it, when one has failed.
const DRAIN: Duration = Duration::from_millis(2_000);

/// Requests in flight at most. More than any scenario has unless its server stands still.
pub const USERS: usize = 400;

/// Users who go round in a closed loop: as many as a small load test has.
const CLOSED_USERS: usize = 32;

/// A round that says little of the server is repeated this often, before it has to do.
const REPEATS: u32 = 2;

/// What to run.
pub struct Job {
    /// With the variants of each, in the order of the tables.
    pub exercises: Vec<(&'static dyn AnyScenario, Vec<&'static Variant>)>,
    /// Whose solution is judged, such as `your edit`, where it is not the catalogue's: then it must be clean.
    pub solution: Option<&'static str>,
    /// Whether only the contracts are gone through, and no load is sent.
    pub only_contracts: bool,
    /// Rounds per variant.
    pub rounds: u32,
    /// Seeds the schedules and the order of the variants.
    pub seed: u64,
    /// Open or closed loop.
    pub mode: Mode,
    /// Changes to each scenario's shape.
    pub shape: ShapeChange,
    /// Directory for the results.
    pub out: PathBuf,
    /// The command line, for the record.
    pub command: String,
    /// Where the run is to be seen while it goes on.
    pub exporter: Option<Exporter>,
}

/// What the command line changes of a scenario's shape.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShapeChange {
    /// Requests a second of the main stream.
    pub rate: Option<f64>,
    /// Length of the schedule.
    pub duration: Option<Duration>,
    /// Servers.
    pub replicas: Option<usize>,
}

impl ShapeChange {
    fn of(self, shape: Shape) -> Shape {
        Shape {
            rate: self.rate.or(shape.rate),
            duration: self.duration.unwrap_or(shape.duration),
            replicas: self.replicas.unwrap_or(shape.replicas),
        }
    }
}

impl Job {
    /// Folder of the servers' logs in that of the results.
    pub fn logs(&self) -> PathBuf {
        self.out.join("logs")
    }
}

/// Where the load goes.
pub enum Bench {
    /// The lab's own servers.
    Lab(Box<Lab>),
    /// A server that somebody else runs.
    Foreign(Box<Api>),
}

impl Bench {
    /// Ends what the lab started.
    pub async fn close(self) -> anyhow::Result<()> {
        match self {
            Bench::Lab(lab) => lab.close().await,
            Bench::Foreign(_) => Ok(()),
        }
    }
}

/// Is told of each round.
pub trait Watch {
    /// A round begins.
    fn round(&self, exercise: &str, variant: &str, round: u32, rounds: u32);
    /// A round ended.
    fn done(&self);
    /// Something that a person should know.
    fn note(&self, text: &str);
}

/// Runs the job to its end, to the first Ctrl-C, or to a failure, which is the second of what it returns. The results are
/// what was measured by then, and say whether they are complete.
pub async fn run(
    job: &Job,
    bench: &Bench,
    cancel: &Cancel,
    watch: &dyn Watch,
) -> (Results, anyhow::Result<()>) {
    let start = Instant::now();
    let mut results = Results {
        schema_version: SCHEMA_VERSION,
        run_id: uuid::Uuid::now_v7().simple().to_string(),
        command: job.command.clone(),
        started_at: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        duration_seconds: 0.0,
        complete: false,
        failure: None,
        environment: environment(bench),
        generator: Generator {
            mode: job.mode.to_string(),
            seed: job.seed,
            rounds: job.rounds,
            repeated_rounds: 0,
            timer_lag_p99_us: 0,
            saturated: false,
            ahead: load::go_ahead(),
        },
        exercises: Vec::new(),
    };
    let mut timer_lag = Vec::new();
    let mut saturated = false;
    let lab = match bench {
        Bench::Lab(lab) => Some(&**lab),
        Bench::Foreign(_) => None,
    };
    let reference = match Reference::start(lab).await {
        Ok(reference) => reference,
        Err(error) => return (results, Err(error)),
    };
    let mut ended = Ok(());
    for (scenario, variants) in &job.exercises {
        let mut run = ExerciseRun {
            job,
            bench,
            cancel,
            watch,
            reference: &reference,
            run_id: &results.run_id,
            scenario: *scenario,
            load: String::new(),
        };
        let mut rounds = BTreeMap::new();
        ended = run.rounds(variants, &mut rounds, &mut results.generator).await;
        let loads = || rounds.values().flatten().filter_map(RoundResult::load);
        timer_lag.extend(loads().map(|load| load.timer_lag.clone()));
        let stolen = loads().filter_map(|load| Some(load.cpu?.stolen_share()));
        results.environment.stolen_share =
            stolen.chain(results.environment.stolen_share).max_by(f64::total_cmp);
        saturated |= loads().any(|load| load.saturation.is_some());
        let exercise = run.result(variants, rounds);
        // At once, since the report of a long run is far away.
        if job.exercises.len() > 1 {
            for variant in exercise.surprises() {
                let (mark, verdict) = (variant.outcome().mark(), variant.verdict_words());
                watch.note(&format!("{mark} {} {}: {verdict}", exercise.id, variant.name));
            }
        }
        results.exercises.push(exercise);
        results.failure = ended.as_ref().err().map(|error| format!("{error:#}"));
        results.duration_seconds = start.elapsed().as_secs_f64();
        // A run that is killed later leaves what it had, marked as incomplete; of nothing there is no record. What cannot
        // be written now is no reason to throw away what is still to be measured.
        if results.variants().next().is_some()
            && let Err(error) = report::write_json(&results, &job.out)
        {
            watch.note(&format!("{error}; the run continues"));
        }
        if cancel.is_raised() || ended.is_err() {
            break;
        }
    }
    if let Some(lag) = timer_lag.into_iter().reduce(|mut all, one| {
        // Of equal bounds, which is all that adding asks for.
        let _ = all.add(one);
        all
    }) {
        results.generator.timer_lag_p99_us = lag.value_at_quantile(0.99);
    }
    results.generator.saturated = saturated;
    // What ended the run says more than what follows from it.
    ended = ended.and(reference.end().await);
    results.complete = !cancel.is_raised() && ended.is_ok();
    (results, ended)
}

struct ExerciseRun<'a> {
    job: &'a Job,
    bench: &'a Bench,
    cancel: &'a Cancel,
    watch: &'a dyn Watch,
    reference: &'a Reference,
    run_id: &'a str,
    scenario: &'static dyn AnyScenario,
    load: String,
}

impl ExerciseRun<'_> {
    /// Adds the rounds to those of their variants. Every second pass goes backwards (ABBA), so that a drift of the machine
    /// hits all alike.
    async fn rounds(
        &mut self,
        variants: &[&'static Variant],
        rounds: &mut BTreeMap<&'static str, Vec<RoundResult>>,
        generator: &mut Generator,
    ) -> anyhow::Result<()> {
        let mut order = variants.to_vec();
        order.shuffle(&mut self.rng(0));
        for number in 1..=self.job.rounds {
            for variant in &order {
                if self.cancel.is_raised() {
                    return Ok(());
                }
                let judged = self.job.solution.unwrap_or(variant.name);
                self.watch.round(self.scenario.spec().exercise.id, judged, number, self.job.rounds);
                let done = self.round_repeated(variant, number, generator).await.with_context(|| {
                    format!("{}, {judged}, round {number}", self.scenario.spec().exercise.id)
                })?;
                rounds.entry(variant.name).or_default().extend(done);
                self.watch.done();
            }
            order.reverse();
        }
        Ok(())
    }

    /// All variants of a round get the same schedule.
    fn rng(&self, round: u32) -> Pcg64 {
        arrivals::seeded(self.seed(round))
    }

    fn seed(&self, round: u32) -> u64 {
        self.job.seed.wrapping_mul(1_000_003).wrapping_add(round.into())
    }

    async fn round_repeated(
        &mut self,
        variant: &'static Variant,
        number: u32,
        generator: &mut Generator,
    ) -> anyhow::Result<Option<RoundResult>> {
        for repeat in 0.. {
            let round = self.round(variant, number, repeat).await?;
            match round.as_ref().and_then(|round| round.unfit(self.scenario, variant)) {
                Some(why) if repeat < REPEATS => {
                    generator.repeated_rounds += 1;
                    self.watch.note(&format!("{why}; repeating the round (hint: {})", why.hint));
                }
                _ => return Ok(round),
            }
        }
        unreachable!("the last repeat returns")
    }

    /// One round; none when it was interrupted.
    async fn round(
        &mut self,
        variant: &'static Variant,
        number: u32,
        repeat: u32,
    ) -> anyhow::Result<Option<RoundResult>> {
        let (exercise, run_id) = (self.scenario.spec().exercise.id, self.run_id);
        match self.bench {
            Bench::Foreign(api) => {
                // One that is gone is not a wrong solution.
                api.probe().await?;
                let api = api.anew()?.beside(self.reference.url()?);
                self.measure(&api, None, variant, number, repeat).await
            }
            Bench::Lab(lab) => {
                let mut variants = Variants::FIXED;
                variants.set(exercise, variant.name)?;
                let deployed = lab
                    .deploy(&Deployment {
                        variants,
                        replicas: self.shape().replicas,
                        port: 0,
                        operator_port: 0,
                        options: self.scenario.spec().server,
                        providers: self.scenario.spec().providers.then(|| self.seed(number)),
                        data_gauge: Some(exercise),
                        run_id,
                        logs: Some(&self.job.logs()),
                        name: &format!("{exercise}-{}-{number}", variant.name),
                    })
                    .await?;
                let operators = deployed.addresses().map(|ready| ready.operator);
                let listed = (self.job.exporter.as_ref())
                    .map(|exporter| exporter.list(operators, exercise, variant.name, run_id));
                let api = deployed.api()?.beside(self.reference.url()?);
                let mut measured = tokio::select! {
                    measured = self.measure(&api, listed.as_ref(), variant, number, repeat) => measured,
                    lost = lab.postgres.lost() => Err(lost.into()),
                };
                drop(listed);
                // A server that did not do as it should has mostly said why. Of the listed variants it is known.
                if self.job.solution.is_some()
                    && let Ok(Some(round)) = &mut measured
                    && (!round.contract.held || round.failed_requests() > 0)
                {
                    let words = [deployed.ended().now_or_never(), deployed.last_error().await];
                    let words: Vec<String> = words.into_iter().flatten().collect();
                    round.explain(&words.join("; "));
                }
                // Afterwards, whatever came of the load; and what ended the load says more than what follows from it.
                let discarded = deployed.discard().await;
                let measured = measured?;
                discarded?;
                Ok(measured)
            }
        }
    }

    fn shape(&self) -> Shape {
        self.job.shape.of(self.scenario.spec().shape)
    }

    async fn measure(
        &mut self,
        api: &Api,
        listed: Option<&Listed>,
        variant: &'static Variant,
        number: u32,
        repeat: u32,
    ) -> anyhow::Result<Option<RoundResult>> {
        let (exercise, shape) = (self.scenario.spec().exercise.id, self.shape());
        let meter = self
            .job
            .exporter
            .as_ref()
            .map(|exporter| Meter::new(exporter.metrics.clone(), exercise, variant.name));
        let contract = self.unless_cancelled(scenarios::keeps_contract(self.scenario, api)).await;
        let Some(mut contract) = contract.transpose()? else {
            return Ok(None);
        };
        // What one client sees is shown without a load; under one, only what nobody predicted to be broken would follow from it.
        let predicted = variant.must_fail.contains(&KEEPS_CONTRACT.name);
        if self.job.only_contracts || !contract.held && !predicted {
            return Ok(Some(RoundResult { contract, measured: None }));
        }
        let broken =
            |clause, error| scenarios::contract_check(self.scenario.spec().exercise, clause, Err(error));
        let preparing = scenarios::in_time(self.scenario.prepare(api, &shape, self.rng(number)));
        let (round, mut tickets) = match self.unless_cancelled(preparing).await {
            None => return Ok(None),
            Some(Ok(prepared)) => prepared,
            // A load that cannot be made is not the server's fault.
            Some(Err(error)) if error.is::<Hinted>() => return Err(error),
            Some(Err(error)) => {
                if contract.held {
                    contract = broken("the server answers what the load has to know", error);
                }
                return Ok(Some(RoundResult { contract, measured: None }));
            }
        };
        if self.load.is_empty() {
            self.load = round.describe(&match api.targets.len() {
                1 => "one server".to_owned(),
                more => format!("{more} servers"),
            });
        }
        tickets.sort_by_key(|ticket| ticket.at);
        for (n, ticket) in tickets.iter_mut().enumerate() {
            ticket.request.target = n % api.targets.len();
        }
        let statements = self.scenario.spec().reference_statements;
        // Schedules of its own, so that those of the scenario are the same with it and without.
        let mut rng = self.rng(self.job.rounds + number);
        tickets.extend(reference::tickets(&mut rng, api.targets.len(), statements, shape.duration));
        let plan = Plan {
            targets: api.targets.iter().cloned().chain([self.reference.url()?]).collect(),
            tickets,
            duration: shape.duration,
            warm_up: WARM_UP,
            users: match self.job.mode {
                Mode::Open => USERS,
                Mode::Closed => CLOSED_USERS,
            },
            timeout: self.scenario.spec().patience,
            drain: DRAIN,
            mode: self.job.mode,
            trace_seed: load::trace_seed(&format!(
                "{} {exercise} {} {number} {repeat}",
                self.job.seed, variant.name
            )),
            meter: meter.clone(),
            timeline: Timeline::default(),
        };
        let timeline = plan.timeline.clone();
        let incidents = timeline.clone();
        let round: std::sync::Arc<dyn crate::scenarios::AnyRound> = round.into();
        let judge = round.clone();
        let driven = load::drive(
            plan,
            std::sync::Arc::new(move |request, answer| match request.name {
                // It has its own connections to a PostgreSQL that may have been restarted.
                REFERENCE if !incidents.incidents().is_empty() => Outcome::Ok,
                REFERENCE => load::judge_status(request, answer),
                _ => judge.judge(request, answer),
            }),
            self.cancel.clone(),
        );
        let mut faults = round.faults();
        faults.retain(|fault| faults::is_possible(fault, api));
        let injecting = faults::inject(&faults, api, &timeline);
        tokio::pin!(driven, injecting);
        let beside = round.beside(api, &timeline);
        tokio::pin!(beside);
        let mut injected = None;
        let driven = loop {
            tokio::select! {
                driven = &mut driven => break driven,
                done = &mut injecting, if injected.is_none() => injected = Some(done),
                () = &mut beside => unreachable!("what is asked beside a load goes on until its end"),
            }
        };
        let load = match driven {
            Ok(load) => load,
            Err(LoadError::Interrupted { .. }) => {
                self.cancel.raise();
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(listed) = listed {
            listed.freeze().await;
        }
        let injected = match injected {
            Some(injected) => injected,
            None => injecting.await,
        };
        match injected {
            Ok(()) => {}
            Err(error) if error.is::<Hinted>() => return Err(error),
            Err(error) => {
                let contract = broken("a server that was killed starts again and answers", error);
                return Ok(Some(RoundResult { contract, measured: None }));
            }
        }
        let audit = match self.unless_cancelled(scenarios::in_time(round.audit(api, &load))).await {
            None => return Ok(None),
            Some(Ok(audit)) => audit,
            // Nor is a reference server that is gone.
            Some(Err(error)) if error.is::<Hinted>() => return Err(error),
            Some(Err(error)) => {
                if contract.held {
                    contract = broken("the server answers what the audit asks when the load is over", error);
                }
                return Ok(Some(RoundResult { contract, measured: None }));
            }
        };
        if let Some(meter) = meter {
            meter.checks(&verdict::findings(self.scenario, &load, audit.findings.clone()).checks);
            meter.checks(std::slice::from_ref(&contract));
        }
        Ok(Some(RoundResult { contract, measured: Some((load, audit)) }))
    }

    /// What comes of `work`, or nothing when the run is cancelled meanwhile: a server may take long to answer.
    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.cancel.raised() => None,
        }
    }

    fn result(
        &self,
        variants: &[&'static Variant],
        mut rounds: BTreeMap<&'static str, Vec<RoundResult>>,
    ) -> ExerciseResult {
        let exercise = self.scenario.spec().exercise;
        let judged = variants.iter().filter_map(|variant| {
            let judged =
                verdict::judge(self.scenario, variant, self.job.solution, rounds.remove(variant.name)?);
            judged.map(|judged| match (self.job.only_contracts, variant.kind) {
                // What takes a crowd to be seen keeps its contract.
                (true, Kind::Buggy | Kind::Tempting) => VariantResult { expected: judged.verdict, ..judged },
                _ => judged,
            })
        });
        ExerciseResult {
            id: exercise.id.into(),
            title: exercise.title.into(),
            symptom: exercise.symptom.into(),
            load: self.load.clone(),
            variants: judged.collect(),
        }
    }
}

fn environment(bench: &Bench) -> Environment {
    let (postgres, database, scale, db_rtt_us) = match bench {
        Bench::Lab(lab) => (
            Some(lab.postgres.version().to_owned()),
            lab.postgres.origin().to_owned(),
            lab.setting.scale.to_string(),
            lab.setting.db_rtt.as_micros() as u64,
        ),
        Bench::Foreign(api) => (None, format!("a foreign server at {}", api.targets[0]), "unknown".into(), 0),
    };
    Environment {
        stampede: env!("CARGO_PKG_VERSION").into(),
        postgres,
        database,
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        load_average: load_average(),
        stolen_share: None,
        scale,
        db_rtt_us,
    }
}

/// Of the last minute, where the system tells.
fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}
