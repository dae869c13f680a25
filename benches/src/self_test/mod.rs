//! The gate's own error rates, measured on this machine with a benchmark whose work is known.
//!
//! Decisions are made as the gate makes them, by its own code, each from blocks of its own. Beside each stands what
//! criterion says when it compares one process of the base with one of the head, from the same block.

mod criterion_verdict;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use loadtests::hint::Hinted;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::failure;
use crate::gate::criterion::{Executable, Sample, Settings};
use crate::gate::decision::{self, Decision, Evidence, Rule};
use crate::gate::instructions::Valgrind;
use crate::gate::machine::{self, Machine};
use crate::gate::progress::{Interrupt, Progress};
use crate::gate::project::{Project, Selection, Source};
use crate::gate::report::{Arm, Block, orders, random, save, weigh};
use crate::gate::{INTERRUPTED, copy, share};

use criterion_verdict::CriterionVerdict;

/// The benchmark of `benches/self_test.rs`.
const BENCHMARK: &str = "known-work";

/// What makes that benchmark do more.
const EXTRA: &str = "SELF_TEST_EXTRA_PERCENT";

/// A/A decisions of one cycle, which are judged as a suite besides.
const SUITE: usize = 10;

/// How many other code layouts are linked. Cycles take turns among them.
const LAYOUTS: usize = 5;

/// The stream of random numbers that shuffles cycles.
const CYCLES: u64 = 3 << 32;

/// Options of `self-test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Decisions between two equal programs on an otherwise idle machine; each ten of them come with one for every
    /// slowdown and one for another code layout
    #[arg(long, value_name = "N", default_value_t = 300)]
    decisions: usize,

    /// As --decisions, while every other core is busy
    #[arg(long, value_name = "N", default_value_t = 100)]
    loaded_decisions: usize,

    /// Slowdowns to inject, in whole per cents
    #[arg(long, value_name = "PERCENTS", value_delimiter = ',', default_value = "3,5,10")]
    slowdowns: Vec<u32>,

    /// Begin no cycle that would end after this; the table tells how many decisions were made
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    time_budget: Option<Duration>,

    /// Slowdowns up to this are let through
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = share)]
    floor: f64,

    /// The slowdown that a PASS must exclude
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = share)]
    resolution: f64,

    /// Blocks of four processes for each decision
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u16).range(10..=1000))]
    blocks: u16,

    /// Decides the order of everything
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    settings: Settings,

    /// The directory of the package `benches`
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// Go on where an earlier run of the same options ended, from its self-test.json in --out
    #[arg(long)]
    resume: bool,

    /// Where self-test.json and self-test.md go [default: self-test/ in cargo's target directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// A Markdown file whose section between the self-test's marks is replaced by the table
    #[arg(long, value_name = "FILE")]
    doc: Option<PathBuf>,
}

/// What is compared in a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scenario {
    /// A program with itself.
    Equal,
    /// The program with the same functions in another order, by the number of the layout.
    OtherLayout(usize),
    /// So many per cent more of the same work.
    Slower(u32),
}

/// One decision and all that it was made from.
#[derive(Debug, Serialize, Deserialize)]
struct Trial {
    scenario: Scenario,
    /// Which ten belong together.
    cycle: usize,
    /// Every other core was busy.
    loaded: bool,
    blocks: Vec<Block>,
    evidence: Evidence,
    decision: Decision,
    /// What criterion says of one process of each side.
    criterion: CriterionVerdict,
}

/// A slowdown as valgrind sees it.
#[derive(Debug, Serialize, Deserialize)]
struct Calibration {
    /// More work, in per cent.
    percent: u32,
    /// More instructions, as a share.
    instructions: f64,
}

/// All that was measured.
#[derive(Debug, Serialize, Deserialize)]
struct Results {
    complete: bool,
    source: Source,
    /// Of the runs that this one went on from.
    #[serde(default)]
    earlier_sources: Vec<Source>,
    rule: Rule,
    blocks: usize,
    seed: u64,
    settings: Settings,
    machine: Machine,
    compiler: String,
    load_at_start: Option<f64>,
    /// Why there are no counts, or the tool that counted.
    valgrind: String,
    calibration: Vec<Calibration>,
    /// The relative difference between two counts of the same program.
    count_difference: Option<f64>,
    /// Seconds of all cycles together.
    seconds: f64,
    trials: Vec<Trial>,
}

impl Results {
    /// Takes over what an earlier run measured, where that was measured as this one will be.
    fn go_on_from(&mut self, path: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(path).with_context(|| {
            Hinted::new(format!("could not read {}", path.display()), "leave --resume out to begin anew")
        })?;
        let earlier: Results = serde_json::from_str(&text)
            .with_context(|| format!("{} is not the result of a self-test", path.display()))?;
        let conditions = |of: &Results| {
            (of.rule, of.blocks, of.seed, of.settings, of.machine.clone(), of.compiler.clone())
        };
        ensure!(
            conditions(&earlier) == conditions(self),
            Hinted::new(
                format!(
                    "{} was measured with other options, another compiler or on another machine",
                    path.display()
                ),
                "use the same ones, or leave --resume out to begin anew",
            )
        );
        self.earlier_sources = earlier.earlier_sources;
        self.earlier_sources.push(earlier.source);
        self.earlier_sources.dedup();
        self.seconds = earlier.seconds;
        self.trials = earlier.trials;
        Ok(())
    }

    /// Cycles that have been measured: the first ones of the plan.
    fn cycles(&self) -> usize {
        self.trials.last().map_or(0, |trial| trial.cycle + 1)
    }
}

/// Measures, prints the table, and keeps the raw data.
pub fn run(args: Args) -> ExitCode {
    self_test(&args).unwrap_or_else(|error| failure::complain(&error))
}

fn self_test(args: &Args) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let project = Project::open(&args.dir, None)?;
    let out = args.out.clone().unwrap_or_else(|| project.target_directory.join("self-test"));
    std::fs::create_dir_all(&out).with_context(|| format!("could not make {}", out.display()))?;
    let out = out.canonicalize().with_context(|| format!("could not open {}", out.display()))?;
    let scratch = tempfile::tempdir_in(&out).context("could not make a directory for criterion's files")?;
    let fixture = Fixture::build(&project, &out)?;
    let rule = Rule { floor: args.floor, resolution: args.resolution };
    let mut results = Results {
        complete: false,
        source: Source::of(&args.dir),
        earlier_sources: Vec::new(),
        rule,
        blocks: args.blocks.into(),
        seed: args.seed,
        settings: args.settings,
        machine: Machine::this(),
        compiler: project.compiler()?,
        load_at_start: machine::load(),
        valgrind: String::new(),
        calibration: Vec::new(),
        count_difference: None,
        seconds: 0.0,
        trials: Vec::new(),
    };
    if args.resume {
        results.go_on_from(&out.join("self-test.json"))?;
    }
    calibrate(&mut results, &fixture, &args.slowdowns, scratch.path(), &interrupt);
    if interrupt.is_set() {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    results.complete = cycles(args, &fixture, &mut results, scratch.path(), &out, &interrupt)?;
    keep(&results, &out)?;
    let text = table::markdown(&results);
    // What was published stays until there is a whole run to replace it.
    if let (Some(doc), false) = (&args.doc, interrupt.is_set()) {
        table::replace_in(doc, &text)?;
    }
    print!("{text}");
    Ok(if interrupt.is_set() { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

fn keep(results: &Results, out: &Path) -> anyhow::Result<()> {
    let json = serde_json::to_string(results).context("could not write the results as JSON")?;
    save(&out.join("self-test.json"), &json)?;
    save(&out.join("self-test.md"), &table::markdown(results))
}

/// The programs that are compared.
struct Fixture {
    base_a: Executable,
    base_b: Executable,
    head: Executable,
    /// The head in other code layouts, as many as the linker could make.
    layouts: Vec<Executable>,
}

impl Fixture {
    fn build(project: &Project, out: &Path) -> anyhow::Result<Self> {
        let name = || vec!["self_test".to_owned()];
        let selection = Selection { targets: name(), packages: vec!["benches".into()], cargo: Vec::new() };
        let built = project.build(&selection)?.pop();
        let built = built.with_context(|| {
            Hinted::new("cargo built no bench target self_test", "--dir names the directory of its package")
        })?;
        let at = |side: &str, from: &Path| {
            Ok::<_, anyhow::Error>(Executable::new(copy(from, out, side, &built)?, built.directory.clone()))
        };
        let base_a = at("base-a", &built.executable)?;
        let base_b = at("base-b", &built.executable)?;
        let head = at("head-a", &built.executable)?;
        let mut layouts = Vec::new();
        for layout in 0..LAYOUTS {
            match project.relink(&built, &selection, layout as u64) {
                Ok(executable) => layouts.push(at(&format!("head-{layout}"), &executable)?),
                // The row is left out of the table then.
                Err(error) => {
                    eprintln!("no other code layout: {error:#}");
                    break;
                }
            }
        }
        Ok(Fixture { base_a, base_b, head, layouts })
    }

    /// The head of a comparison.
    fn head(&self, scenario: Scenario) -> Executable {
        match scenario {
            Scenario::Equal => self.head.clone(),
            Scenario::OtherLayout(layout) => self.layouts[layout].clone(),
            Scenario::Slower(percent) => self.slower(percent),
        }
    }

    fn slower(&self, percent: u32) -> Executable {
        Executable { environment: vec![(EXTRA.to_owned(), percent.to_string())], ..self.head.clone() }
    }
}

/// Counts the instructions of each slowdown, which tells whether it is as large as it is called.
fn calibrate(
    results: &mut Results,
    fixture: &Fixture,
    slowdowns: &[u32],
    scratch: &Path,
    interrupt: &Interrupt,
) {
    let valgrind = match Valgrind::find() {
        Ok(valgrind) => valgrind,
        Err(why) => {
            results.valgrind = format!("none: {why:#}");
            return;
        }
    };
    results.valgrind = valgrind.version.clone();
    for percent in slowdowns {
        let counts = valgrind.count(&fixture.base_a, &fixture.slower(*percent), BENCHMARK, scratch);
        if interrupt.ended(&counts) {
            return;
        }
        match counts {
            Ok(counts) => {
                results.count_difference = Some((counts.base_again / counts.base - 1.0).abs());
                results.calibration.push(Calibration { percent: *percent, instructions: counts.change() });
            }
            Err(why) => results.valgrind = format!("{}: {why:#}", valgrind.version),
        }
    }
}

/// Runs cycles in a shuffled order until all are done or the time is. False if some were left out.
fn cycles(
    args: &Args,
    fixture: &Fixture,
    results: &mut Results,
    scratch: &Path,
    out: &Path,
    interrupt: &Interrupt,
) -> anyhow::Result<bool> {
    let mut loaded: Vec<bool> = [(false, args.decisions), (true, args.loaded_decisions)]
        .into_iter()
        .flat_map(|(loaded, decisions)| std::iter::repeat_n(loaded, decisions.div_ceil(SUITE)))
        .collect();
    loaded.shuffle(&mut random(args.seed, CYCLES));
    ensure!(
        results.trials.iter().all(|trial| loaded.get(trial.cycle) == Some(&trial.loaded)),
        Hinted::new(
            "the earlier run had other --decisions or --loaded-decisions",
            "use the same ones, or leave --resume out to begin anew",
        )
    );
    let begun = Instant::now();
    let (done, seconds) = (results.cycles(), results.seconds);
    let all = loaded.len();
    let progress = Progress::new(all - done, "self-test");
    for (cycle, loaded) in loaded.into_iter().enumerate().skip(done) {
        let spent = begun.elapsed();
        let each = spent.checked_div((cycle - done) as u32).unwrap_or_default();
        if args.time_budget.is_some_and(|budget| spent + each > budget) {
            return Ok(false);
        }
        progress.advance();
        let busy = loaded.then(BusyCores::start);
        let trials = run_cycle(args, fixture, results.rule, cycle, loaded, scratch);
        drop(busy);
        if interrupt.ended(&trials) {
            return Ok(false);
        }
        results.trials.extend(trials?);
        results.seconds = seconds + begun.elapsed().as_secs_f64();
        keep(results, out)?;
        progress.round(cycle + 1 - done, all - done);
    }
    Ok(true)
}

/// Ten decisions on equal programs, one on another layout, and one on each slowdown, measured as the gate measures a
/// suite: a block of each in a round.
fn run_cycle(
    args: &Args,
    fixture: &Fixture,
    rule: Rule,
    cycle: usize,
    loaded: bool,
    scratch: &Path,
) -> anyhow::Result<Vec<Trial>> {
    let mut scenarios = vec![Scenario::Equal; SUITE];
    if !fixture.layouts.is_empty() {
        scenarios.push(Scenario::OtherLayout(cycle % fixture.layouts.len()));
    }
    scenarios.extend(args.slowdowns.iter().copied().map(Scenario::Slower));
    let blocks = usize::from(args.blocks);
    let stream = |index: usize| (cycle * scenarios.len() + index) as u64;
    let order: Vec<_> = (0..scenarios.len()).map(|index| orders(args.seed, stream(index), blocks)).collect();
    let mut measured = vec![Vec::with_capacity(blocks); scenarios.len()];
    let mut criterion = vec![None; scenarios.len()];
    for (round, nth) in (cycle * blocks..(cycle + 1) * blocks).enumerate() {
        let mut shuffled: Vec<usize> = (0..scenarios.len()).collect();
        shuffled.shuffle(&mut random(args.seed, CYCLES + 1 + nth as u64));
        for index in shuffled {
            let head = fixture.head(scenarios[index]);
            let mut homes = Vec::with_capacity(4);
            let block = Block::measure(order[index][round], |arm| {
                let executable = match arm {
                    Arm::BaseA => &fixture.base_a,
                    Arm::BaseB => &fixture.base_b,
                    Arm::Head => &head,
                };
                let home = tempfile::tempdir_in(scratch)
                    .context("could not make a directory for criterion's files")?;
                let number = executable.measure(BENCHMARK, args.settings, home.path())?;
                homes.push((arm, home));
                Ok(number)
            })?;
            measured[index].push(block);
            if criterion[index].is_none() {
                let home = |wanted: fn(Arm) -> bool| {
                    let found = homes.iter().find(|(arm, _)| wanted(*arm));
                    found.map(|(_, home)| home.path()).context("a block has both sides")
                };
                let (base, head) = (home(|arm| arm != Arm::Head)?, home(|arm| arm == Arm::Head)?);
                criterion[index] = Some(criterion_verdict::compare(&fixture.base_a, BENCHMARK, base, head)?);
            }
        }
    }
    let trials = scenarios.into_iter().zip(measured).zip(criterion).map(|((scenario, blocks), criterion)| {
        let evidence = weigh(&blocks, rule).context("a decision has blocks")?;
        let slower = decision::slower(&[evidence]) == [true];
        let decision = decision::decide(&evidence, slower, None, None, rule);
        let criterion = criterion.context("a decision has criterion's verdict")?;
        Ok(Trial { scenario, cycle, loaded, blocks, evidence, decision, criterion })
    });
    trials.collect()
}

/// Threads that compute for nothing, one for each core but one.
struct BusyCores {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl BusyCores {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (1..cores).map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        });
        BusyCores { threads: threads.collect(), stop }
    }
}

impl Drop for BusyCores {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that only spins has nothing to tell.
            let _ = thread.join();
        }
    }
}

/// Where criterion put a benchmark below a root.
fn directory_of(home: &Path) -> anyhow::Result<PathBuf> {
    let found = Sample::directory(home, BENCHMARK)?;
    let found = found.with_context(|| format!("criterion wrote no result for {BENCHMARK}"))?;
    ensure!(found.starts_with(home), "{} is not below {}", found.display(), home.display());
    Ok(found)
}
