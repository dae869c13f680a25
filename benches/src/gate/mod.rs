//! The regression gate: two builds of one project, compared by their criterion benchmarks.
//!
//! How to read it: [`project`] builds the two sides, [`criterion`] runs one process and reads its number, [`report`]
//! arranges processes in blocks and keeps what they gave, [`stats`] and [`decision`] turn blocks into verdicts,
//! [`instructions`] is the second witness, and [`render`] shows the result. [`run`] does it in that order.

pub mod criterion;
pub mod decision;
pub mod instructions;
pub mod machine;
pub mod progress;
pub mod project;
pub mod render;
pub mod report;
pub mod stats;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use loadtests::hint::Hinted;
use rand::seq::SliceRandom;
use sha2::{Digest, Sha256};

use crate::failure::{self, Usage};

use criterion::{Executable, Settings};
use decision::{Confirmation, Decision, Evidence, Rule, Verdict};
use instructions::Valgrind;
use machine::Machine;
use progress::{Interrupt, Progress};
use project::{Built, Checkout, Project, Selection, Source, loaded_digest};
use report::{Arm, Benchmark, Block, Report, SecondWitness, orders, random, weigh};

/// How a command ends when it was interrupted, by the convention of shells.
pub(crate) const INTERRUPTED: u8 = 130;

/// What a benchmark should cost at most, in seconds.
const AFFORDABLE: f64 = 90.0;

/// The stream of random numbers that shuffles the benchmarks of a round. Benchmarks have those from 0.
const ROUNDS: u64 = 1 << 32;

/// The stream of the orders in another code layout.
const OTHER_LAYOUT: u64 = 2 << 32;

/// Options of `gate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing is slower, 1 something could not be measured, 2 the command line is \
                        wrong, 3 something is slower or missing, 4 the data does not tell, 130 interrupted."
)]
pub struct Args {
    /// The revision to compare with; the work tree is compared as it is, with its uncommitted changes
    #[arg(long, value_name = "REV", required_unless_present = "base_dir", conflicts_with = "base_dir")]
    base: Option<String>,

    /// A directory to compare with: any project with criterion benchmarks
    #[arg(long, value_name = "DIR")]
    base_dir: Option<PathBuf>,

    /// The project whose change is judged
    #[arg(long, value_name = "DIR", default_value = ".")]
    head_dir: PathBuf,

    #[command(flatten)]
    selection: Selection,

    /// Only benchmarks whose id contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,

    /// Slowdowns up to this are let through
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = share)]
    floor: f64,

    /// The slowdown that a PASS must exclude
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = share)]
    resolution: f64,

    /// Blocks of four processes for each benchmark
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u16).range(10..=1000))]
    blocks: u16,

    /// Decides the order of everything
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    settings: Settings,

    /// Do not count instructions with valgrind
    #[arg(long)]
    no_instructions: bool,

    /// Where the results go, and what is built of the base [default: gate/ in cargo's target directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Go on with a comparison that was interrupted
    #[arg(long)]
    resume: bool,
}

/// A percentage as a share: `1%` is 0.01.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("write a percentage from 0% to 100%, for example 1%".into()),
    }
}

/// Compares two sides, shows what was found, and gives the process its exit code.
pub fn run(args: Args) -> ExitCode {
    gate(&args).unwrap_or_else(|error| failure::complain(&error))
}

fn gate(args: &Args) -> anyhow::Result<ExitCode> {
    if args.floor >= args.resolution {
        let message = format!(
            "a floor of {} leaves nothing below a resolution of {}",
            decision::percent(args.floor),
            decision::percent(args.resolution)
        );
        return Err(Usage::new(message, "--resolution has to be above --floor").into());
    }
    let interrupt = Interrupt::install()?;
    let head = Project::open(&args.head_dir, None)?;
    let out = args.out.clone().unwrap_or_else(|| head.target_directory.join("gate"));
    std::fs::create_dir_all(&out).with_context(|| format!("could not make {}", out.display()))?;
    let out = out.canonicalize().with_context(|| format!("could not open {}", out.display()))?;
    let prepared = Session::prepare(args, head, &out, interrupt.clone());
    if interrupt.ended(&prepared) {
        // Not `eprintln!`, which panics where nobody reads any more.
        let _ = writeln!(std::io::stderr(), "interrupted before anything was measured");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let mut session = prepared?;
    let finished = session.measure(args)?;
    session.report.complete = finished;
    session.save()?;
    render::write_files(&session.report, &out)?;
    render::show(&session.report, &out);
    if !finished {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::from(session.report.worst().map_or(0, Verdict::exit_code)))
}

/// A comparison under way.
struct Session {
    out: PathBuf,
    report: Report,
    /// The executable of each arm, by benchmark id.
    arms: BTreeMap<String, Arms>,
    /// As `arms`, linked in another layout; only of benchmarks where it came to that.
    other_layout: BTreeMap<String, Arms>,
    base: Project,
    head: Project,
    interrupt: Interrupt,
    /// What criterion writes, removed at the end.
    scratch: tempfile::TempDir,
    /// The base's files are needed as long as its benchmarks run.
    _checkout: Option<Checkout>,
}

/// Where a benchmark can be run, and what its executables were built as.
struct Arms {
    base_a: Executable,
    base_b: Executable,
    head: Executable,
    base_built: Built,
    head_built: Built,
}

impl Arms {
    fn executable(&self, arm: Arm) -> &Executable {
        match arm {
            Arm::BaseA => &self.base_a,
            Arm::BaseB => &self.base_b,
            Arm::Head => &self.head,
        }
    }
}

/// A benchmark of one side.
struct Found {
    built: Built,
    /// The copy that is run.
    executable: Executable,
    digest: String,
}

impl Session {
    /// Builds both sides, finds their benchmarks, and takes up an interrupted report if asked to.
    fn prepare(args: &Args, head: Project, out: &Path, interrupt: Interrupt) -> anyhow::Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("runs-")
            .tempdir_in(out)
            .with_context(|| format!("could not make a directory in {}", out.display()))?;
        let checkout = match &args.base {
            Some(revision) => Some(Checkout::new(&args.head_dir, revision, &checkout_path(out))?),
            None => None,
        };
        let base_directory = checkout.as_ref().map(|checkout| checkout.project.clone());
        let base_directory = base_directory.or_else(|| args.base_dir.clone()).unwrap_or_default();
        let base = open_base(&base_directory, checkout.is_some(), &head, out)?;

        let compiler = head.compiler()?;
        let base_compiler = base.compiler()?;
        ensure!(
            compiler == base_compiler,
            Hinted::new(
                format!("the base is built by {base_compiler} and the head by {compiler}"),
                "set RUSTUP_TOOLCHAIN to one toolchain for both"
            )
        );
        let mut notes = Vec::new();
        let mut base_side = Side::find(&base, "base", args, out, scratch.path(), &interrupt)
            .context("the base could not be prepared")?;
        let mut head_side = Side::find(&head, "head", args, out, scratch.path(), &interrupt)
            .context("the head could not be prepared")?;
        base_side.ensure_it_lists_what(&head_side)?;
        head_side.ensure_it_lists_what(&base_side)?;
        notes.append(&mut base_side.notes);
        notes.append(&mut head_side.notes);
        let (base_found, head_found) = (base_side.benchmarks, head_side.benchmarks);
        let ids: BTreeSet<&String> = base_found.keys().chain(head_found.keys()).collect();
        if ids.is_empty() {
            let chosen = [&args.selection.packages, &args.selection.targets].map(|names| names.join(", "));
            let message = match (&args.only, chosen.iter().all(String::is_empty)) {
                (Some(text), _) => format!("no benchmark's id contains {text:?}"),
                (None, true) => "neither side has a criterion benchmark".to_owned(),
                (None, false) => {
                    let chosen = chosen.join(" ");
                    format!("neither side has a criterion benchmark of {}", chosen.trim())
                }
            };
            return Err(Usage::new(message, "`cargo bench -- --list` tells the ids").into());
        }
        let benchmarks = ids.into_iter().map(|id| Benchmark {
            id: id.clone(),
            base_digest: base_found.get(id).map(|found| found.digest.clone()),
            head_digest: head_found.get(id).map(|found| found.digest.clone()),
            blocks: Vec::new(),
            instructions: None,
            other_layout: Vec::new(),
            confirmation: None,
            evidence: None,
            error: None,
            decision: None,
        });
        let mut report = Report {
            version: Report::VERSION,
            complete: false,
            base: Source::of(&base_directory),
            head: Source::of(&args.head_dir),
            selection: args.selection.clone(),
            only: args.only.clone(),
            rule: Rule { floor: args.floor, resolution: args.resolution },
            blocks: args.blocks.into(),
            seed: args.seed,
            settings: args.settings,
            compiler,
            machine: Machine::this(),
            load_at_start: machine::load(),
            second_witness: SecondWitness::Off("--no-instructions".into()),
            notes,
            benchmarks: benchmarks.collect(),
        };
        if report.head.dirty {
            report.notes.push("The work tree has uncommitted changes; they are part of the head.".into());
        }
        if args.resume {
            report = resumed(report, &out.join("gate.json"))?;
        }
        let mut arms = BTreeMap::new();
        for (id, base) in base_found {
            if let Some(head) = head_found.get(&id) {
                let base_b = Executable {
                    path: copy(&base.executable.path, out, "base-b", &base.built)?,
                    ..base.executable.clone()
                };
                let base_a = base.executable;
                let (head, head_built) = (head.executable.clone(), head.built.clone());
                arms.insert(id, Arms { base_a, base_b, head, base_built: base.built, head_built });
            }
        }
        Ok(Session {
            out: out.to_owned(),
            report,
            arms,
            other_layout: BTreeMap::new(),
            base,
            head,
            interrupt,
            scratch,
            _checkout: checkout,
        })
    }

    fn save(&self) -> anyhow::Result<()> {
        self.report.save(&self.out.join("gate.json"))
    }

    /// Measures and decides. False if it was interrupted.
    fn measure(&mut self, args: &Args) -> anyhow::Result<bool> {
        let measured = self.report.benchmarks.iter().filter(|one| one.is_measured()).count();
        let fewest = decision::fewest_blocks(measured);
        if self.report.blocks < fewest {
            let message = format!(
                "{} blocks cannot prove a slowdown among {measured} benchmarks, however large",
                self.report.blocks
            );
            return Err(
                Usage::new(message, format!("--blocks {fewest} can, or choose fewer benchmarks")).into()
            );
        }
        self.save()?;
        if measured > 0 && !self.try_out()? {
            return Ok(false);
        }
        let all: Vec<usize> = (0..self.report.benchmarks.len()).collect();
        if measured > 0 && !self.rounds(&all, Stage::Deciding)? {
            return Ok(false);
        }
        if measured > 0 && !self.count_instructions(args.no_instructions)? {
            return Ok(false);
        }
        let rule = self.report.rule;
        for benchmark in &mut self.report.benchmarks {
            benchmark.evidence = if benchmark.is_measured() { weigh(&benchmark.blocks, rule) } else { None };
        }
        let slower = self.slower();
        let doubtful: Vec<usize> = (0..self.report.benchmarks.len())
            .filter(|index| {
                let benchmark = &self.report.benchmarks[*index];
                let witness = benchmark.instructions.map(|counts| counts.testify(rule));
                benchmark.evidence.is_some_and(|evidence| {
                    decision::wants_confirmation(&evidence, slower.contains(index), witness)
                })
            })
            .collect();
        if !self.confirm(&doubtful)? {
            return Ok(false);
        }
        for (index, benchmark) in self.report.benchmarks.iter_mut().enumerate() {
            benchmark.decision = Some(decide(benchmark, slower.contains(&index), rule));
        }
        Ok(true)
    }

    /// The benchmarks that are slower, by their index.
    fn slower(&self) -> BTreeSet<usize> {
        let with_evidence: Vec<(usize, Evidence)> = (self.report.benchmarks.iter().enumerate())
            .filter_map(|(index, benchmark)| Some((index, benchmark.evidence?)))
            .collect();
        let evidence: Vec<Evidence> = with_evidence.iter().map(|(_, evidence)| *evidence).collect();
        let slower = decision::slower(&evidence);
        with_evidence.iter().zip(slower).filter(|(_, slower)| *slower).map(|((index, _), _)| *index).collect()
    }

    /// One process of each side that decides nothing: it warms the disk's cache, finds what cannot be measured before
    /// hours are spent, and tells what a block costs.
    fn try_out(&mut self) -> anyhow::Result<bool> {
        for index in 0..self.report.benchmarks.len() {
            let benchmark = &self.report.benchmarks[index];
            if !benchmark.is_measured() || !benchmark.blocks.is_empty() {
                continue;
            }
            let id = benchmark.id.clone();
            let begun = Instant::now();
            for arm in [Arm::BaseA, Arm::Head] {
                let result = self.process(self.arms[&id].executable(arm), &id);
                if self.interrupt.ended(&result) {
                    return Ok(false);
                }
                if let Err(error) = result {
                    self.report.benchmarks[index].error = Some(format!("{error:#}"));
                }
            }
            let cost = begun.elapsed().as_secs_f64() * 2.0 * self.report.blocks as f64;
            if cost > AFFORDABLE {
                let note = format!(
                    "{id} costs {cost:.0} s: its processes take long, by their start or by their iterations."
                );
                self.report.notes.push(note);
            }
        }
        self.save()?;
        Ok(true)
    }

    /// Measures blocks until each of the benchmarks has its number: one of each in a round, in a shuffled order, so
    /// that a bad minute of the machine falls on all. False if interrupted.
    fn rounds(&mut self, indices: &[usize], stage: Stage) -> anyhow::Result<bool> {
        let progress = Progress::new(self.report.blocks * indices.len(), stage.name());
        let orders: BTreeMap<usize, Vec<report::Order>> = indices
            .iter()
            .map(|index| {
                let stream = *index as u64 + stage.stream();
                (*index, orders(self.report.seed, stream, self.report.blocks))
            })
            .collect();
        for (round, done) in (1..=self.report.blocks).enumerate() {
            let mut shuffled = indices.to_vec();
            shuffled.shuffle(&mut random(self.report.seed, ROUNDS + stage.stream() + round as u64));
            for index in shuffled {
                progress.advance();
                let benchmark = &self.report.benchmarks[index];
                if !benchmark.is_measured() || stage.blocks(benchmark).len() > round {
                    continue;
                }
                let arms = match stage {
                    Stage::Deciding => &self.arms[&benchmark.id],
                    Stage::OtherLayout => &self.other_layout[&benchmark.id],
                };
                let block = Block::measure(orders[&index][round], |arm| {
                    self.process(arms.executable(arm), &benchmark.id)
                });
                if self.interrupt.ended(&block) {
                    return Ok(false);
                }
                let benchmark = &mut self.report.benchmarks[index];
                match block {
                    Ok(block) => stage.blocks_mut(benchmark).push(block),
                    Err(error) => benchmark.error = Some(format!("{error:#}")),
                }
                self.save()?;
            }
            progress.round(done, self.report.blocks);
        }
        Ok(true)
    }

    /// One number from a fresh process.
    fn process(&self, executable: &Executable, id: &str) -> anyhow::Result<f64> {
        let home = tempfile::tempdir_in(self.scratch.path())
            .context("could not make a directory for criterion's files")?;
        executable.measure(id, self.report.settings, home.path())
    }

    /// Calls the second witness. False if interrupted.
    fn count_instructions(&mut self, unwanted: bool) -> anyhow::Result<bool> {
        if unwanted {
            return Ok(true);
        }
        let found = Valgrind::find();
        if self.interrupt.ended(&found) {
            return Ok(false);
        }
        let valgrind = match found {
            Ok(valgrind) => valgrind,
            Err(why) => {
                let why = format!("{why:#}");
                self.report.notes.push(format!("No second witness: {why}. Time alone decides."));
                self.report.second_witness = SecondWitness::Off(why);
                return Ok(true);
            }
        };
        self.report.second_witness = SecondWitness::On(valgrind.version.clone());
        let progress = Progress::new(self.report.benchmarks.len(), "counting instructions");
        for index in 0..self.report.benchmarks.len() {
            progress.advance();
            let benchmark = &self.report.benchmarks[index];
            if !benchmark.is_measured() || benchmark.instructions.is_some() {
                continue;
            }
            let arms = &self.arms[&benchmark.id];
            let counted = valgrind.count(&arms.base_a, &arms.head, &benchmark.id, self.scratch.path());
            if self.interrupt.ended(&counted) {
                return Ok(false);
            }
            match counted {
                Ok(counts) => self.report.benchmarks[index].instructions = Some(counts),
                Err(error) => {
                    let note =
                        format!("No instruction counts of {}: {error:#}", self.report.benchmarks[index].id);
                    self.report.notes.push(note);
                }
            }
            self.save()?;
        }
        Ok(true)
    }

    /// Measures again what may be slower only because its functions came to lie elsewhere. False if interrupted.
    fn confirm(&mut self, doubtful: &[usize]) -> anyhow::Result<bool> {
        let mut relinked = Vec::new();
        for &index in doubtful {
            let benchmark = &self.report.benchmarks[index];
            if benchmark.confirmation.is_some() {
                continue;
            }
            let again = self.relink(&self.arms[&benchmark.id]);
            if self.interrupt.ended(&again) {
                return Ok(false);
            }
            match again {
                Ok(arms) => {
                    self.other_layout.insert(benchmark.id.clone(), arms);
                    relinked.push(index);
                }
                Err(error) => {
                    let why = Confirmation::Impossible(format!("{error:#}"));
                    self.report.benchmarks[index].confirmation = Some(why);
                }
            }
        }
        if relinked.is_empty() {
            return Ok(true);
        }
        if !self.rounds(&relinked, Stage::OtherLayout)? {
            return Ok(false);
        }
        let rule = self.report.rule;
        for index in relinked {
            let benchmark = &mut self.report.benchmarks[index];
            benchmark.confirmation = weigh(&benchmark.other_layout, rule).map(|evidence| {
                let slower = decision::slower(&[evidence]) == [true] && !evidence.null_moved;
                if slower { Confirmation::Slower } else { Confirmation::NotSlower }
            });
        }
        Ok(true)
    }

    fn relink(&self, arms: &Arms) -> anyhow::Result<Arms> {
        let again = |project: &Project, built: &Built, side| {
            let executable = project.relink(built, &self.report.selection, self.report.seed)?;
            let path = copy(&executable, &self.out, side, built)?;
            Ok::<_, anyhow::Error>(Executable::new(path, built.directory.clone()))
        };
        let base = again(&self.base, &arms.base_built, "base-l")?;
        let head = again(&self.head, &arms.head_built, "head-l")?;
        let (base_built, head_built) = (arms.base_built.clone(), arms.head_built.clone());
        Ok(Arms { base_a: base.clone(), base_b: base, head, base_built, head_built })
    }
}

/// The two kinds of blocks.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Deciding,
    OtherLayout,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Stage::Deciding => "measuring",
            Stage::OtherLayout => "measuring in another code layout",
        }
    }

    fn stream(self) -> u64 {
        match self {
            Stage::Deciding => 0,
            Stage::OtherLayout => OTHER_LAYOUT,
        }
    }

    fn blocks(self, benchmark: &Benchmark) -> &Vec<Block> {
        match self {
            Stage::Deciding => &benchmark.blocks,
            Stage::OtherLayout => &benchmark.other_layout,
        }
    }

    fn blocks_mut(self, benchmark: &mut Benchmark) -> &mut Vec<Block> {
        match self {
            Stage::Deciding => &mut benchmark.blocks,
            Stage::OtherLayout => &mut benchmark.other_layout,
        }
    }
}

/// The base's project. It must not build where the head builds: cargo would take one side's files for the other's.
fn open_base(directory: &Path, checked_out: bool, head: &Project, out: &Path) -> anyhow::Result<Project> {
    let apart = out.join("base-target");
    if checked_out {
        return Project::open(directory, Some(&apart));
    }
    let base = Project::open(directory, None)?;
    if base.target_directory == head.target_directory {
        return Project::open(directory, Some(&apart));
    }
    Ok(base)
}

/// Where the base of a comparison is checked out: the same place each time, so that what was built of it stays of use, and
/// outside of the head, whose `.cargo/config.toml` and `rust-toolchain.toml` hold in all directories below.
fn checkout_path(out: &Path) -> PathBuf {
    let digest = Sha256::digest(out.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    std::env::temp_dir().join(format!("gate-base-{name}"))
}

/// The benchmarks of a side.
struct Side {
    name: &'static str,
    /// By id.
    benchmarks: BTreeMap<String, Found>,
    /// Why a bench target does not list its benchmarks, by package and target.
    unlisted: BTreeMap<(String, String), String>,
    notes: Vec<String>,
}

impl Side {
    /// Builds a side, sets its executables apart, and asks them for their benchmarks.
    fn find(
        project: &Project,
        name: &'static str,
        args: &Args,
        out: &Path,
        scratch: &Path,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        let mut side =
            Side { name, benchmarks: BTreeMap::new(), unlisted: BTreeMap::new(), notes: Vec::new() };
        for built in project.build(&args.selection)? {
            let path = copy(&built.executable, out, &format!("{name}-a"), &built)?;
            let executable = Executable::new(path, built.directory.clone());
            let listed = executable.list(scratch);
            if interrupt.ended(&listed) {
                return Err(listed.err().unwrap_or_else(|| anyhow::anyhow!("interrupted")));
            }
            let ids = match listed {
                Ok(ids) if !ids.is_empty() => ids,
                Ok(_) => {
                    side.notes.push(format!("{} of the {name} lists no criterion benchmark.", built.target));
                    continue;
                }
                // It may be no benchmark of criterion at all; whether that matters tells the other side.
                Err(error) => {
                    let why =
                        format!("{} of the {name} does not list its benchmarks: {error:#}", built.target);
                    side.notes.push(why.clone());
                    side.unlisted.insert((built.package, built.target), why);
                    continue;
                }
            };
            let digest = loaded_digest(&executable.path)?;
            for id in ids {
                if args.only.as_ref().is_some_and(|only| !id.contains(only)) {
                    continue;
                }
                let found =
                    Found { built: built.clone(), executable: executable.clone(), digest: digest.clone() };
                if let Some(other) = side.benchmarks.insert(id.clone(), found) {
                    let message =
                        format!("both {} and {} have a benchmark {id}", other.built.target, built.target);
                    return Err(Usage::new(message, "choose one of them with --bench or --package").into());
                }
            }
        }
        Ok(side)
    }

    /// A program that cannot say what it has is a failure, and not one without benchmarks, where the other side's can.
    fn ensure_it_lists_what(&self, other: &Side) -> anyhow::Result<()> {
        let lists = |package: &str, target: &str| {
            (other.benchmarks.values())
                .any(|found| found.built.package == package && found.built.target == target)
        };
        for ((package, target), why) in &self.unlisted {
            ensure!(
                !lists(package, target),
                Hinted::new(
                    format!("{why}; that of the {} does", other.name),
                    "run `cargo bench -- --list` there; a file may be missing that git ignores"
                )
            );
        }
        Ok(())
    }
}

/// Copies a program to where a side is kept. All sides' paths have the same length: how long a program's name is shifts
/// its stack, and that alone changes times (Mytkowicz and others, *Producing wrong data without doing anything
/// obviously wrong*, 2009).
pub(crate) fn copy(executable: &Path, out: &Path, side: &str, built: &Built) -> anyhow::Result<PathBuf> {
    let directory = out.join("bin").join(side);
    let path = directory.join(format!("{}-{}", built.package, built.target));
    let part = directory.join("part");
    let copy = || {
        std::fs::create_dir_all(&directory)?;
        std::fs::copy(executable, &part)?;
        std::fs::rename(&part, &path)
    };
    copy().with_context(|| format!("could not copy {} to {}", executable.display(), path.display()))?;
    Ok(path)
}

/// An interrupted report that asked what this one asks.
fn resumed(fresh: Report, path: &Path) -> anyhow::Result<Report> {
    let mut old = Report::load(path)
        .context(Hinted::new("there is nothing to go on with", "leave out --resume to begin"))?;
    let question = |report: &Report| {
        let programs: Vec<_> = (report.benchmarks.iter())
            .map(|one| (one.id.clone(), one.base_digest.clone(), one.head_digest.clone()))
            .collect();
        let Report { rule, blocks, seed, settings, compiler, .. } = report.clone();
        (report.version, programs, (rule.floor, rule.resolution), blocks, seed, settings, compiler)
    };
    if question(&old) != question(&fresh) {
        let message = format!("{} is of other programs or of other options", path.display());
        bail!(Usage::new(message, "leave out --resume to begin again"));
    }
    for benchmark in &mut old.benchmarks {
        // Whatever went wrong may have been the interruption.
        benchmark.error = None;
        benchmark.confirmation.take_if(|confirmation| matches!(confirmation, Confirmation::Impossible(_)));
    }
    old.notes = fresh.notes;
    old.notes.push("Measured in more than one session.".into());
    old.complete = false;
    Ok(old)
}

/// The verdict on a benchmark for which all is measured that is going to be.
fn decide(benchmark: &Benchmark, slower: bool, rule: Rule) -> Decision {
    match (&benchmark.base_digest, &benchmark.head_digest, &benchmark.error, &benchmark.evidence) {
        (Some(_), None, _, _) => Decision::new(Verdict::Missing, "the head does not have it"),
        (None, _, _, _) => Decision::new(Verdict::Added, "the base does not have it"),
        (Some(base), Some(head), _, _) if base == head => {
            Decision::new(Verdict::Identical, "both sides run the same machine code")
        }
        (_, _, Some(error), _) => Decision::new(Verdict::Error, error.clone()),
        (_, _, None, Some(evidence)) => {
            let (counts, confirmation) = (benchmark.instructions.as_ref(), benchmark.confirmation.as_ref());
            decision::decide(evidence, slower, counts, confirmation, rule)
        }
        (_, _, None, None) => Decision::new(Verdict::Error, "no block was measured"),
    }
}
