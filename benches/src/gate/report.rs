//! What a comparison found: `gate.json`, which is also what an interrupted one goes on from.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::criterion::Settings;
use super::decision::{Confirmation, Decision, Evidence, Instructions, Rule, Verdict};
use super::machine::{self, Machine};
use super::project::{Selection, Source};
use super::stats::block_log_ratio;

/// Changes with every change of the format that an older reader would misread.
const VERSION: u32 = 1;

/// Everything that was measured and decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of the format.
    pub version: u32,
    /// False while it is being measured, and for ever if it was interrupted.
    pub complete: bool,
    /// The two sides.
    pub base: Source,
    /// As `base`.
    pub head: Source,
    /// What was built.
    pub selection: Selection,
    /// The text that ids had to contain.
    pub only: Option<String>,
    /// The rule of the verdicts.
    pub rule: Rule,
    /// ABBA blocks of each benchmark.
    pub blocks: usize,
    /// Of the order of everything.
    pub seed: u64,
    /// Of each process.
    pub settings: Settings,
    /// The compiler of both sides.
    pub compiler: String,
    /// Where it was measured.
    pub machine: Machine,
    /// The load of the machine when it began.
    pub load_at_start: Option<f64>,
    /// The tool that counts instructions, or why there is none.
    pub second_witness: SecondWitness,
    /// What a reader should know, in sentences.
    pub notes: Vec<String>,
    /// In the order of their ids.
    pub benchmarks: Vec<Benchmark>,
}

/// The tool that counts instructions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondWitness {
    /// Its name and version.
    On(String),
    /// Why there is none.
    Off(String),
}

/// One benchmark, by its id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Benchmark {
    /// Criterion's full id.
    pub id: String,
    /// Digest of what is loaded of the base's executable, if the base has this benchmark.
    pub base_digest: Option<String>,
    /// As `base_digest`.
    pub head_digest: Option<String>,
    /// As they were measured.
    pub blocks: Vec<Block>,
    /// If there is a second witness.
    pub instructions: Option<Instructions>,
    /// Blocks in another code layout, if it came to that.
    pub other_layout: Vec<Block>,
    /// What those blocks said.
    pub confirmation: Option<Confirmation>,
    /// What the blocks say.
    pub evidence: Option<Evidence>,
    /// Why it could not be measured.
    pub error: Option<String>,
    /// Set when all is measured.
    pub decision: Option<Decision>,
}

impl Benchmark {
    /// Whether it is to be measured: both sides have it, in different machine code, and nothing went wrong so far.
    pub fn is_measured(&self) -> bool {
        self.base_digest.is_some()
            && self.head_digest.is_some()
            && self.base_digest != self.head_digest
            && self.error.is_none()
    }
}

/// Which program runs in a slot of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Arm {
    /// The base.
    BaseA,
    /// The same program as another file: between the two nothing differs but the moment.
    BaseB,
    /// The head.
    Head,
}

/// The four processes of a block, in their order.
pub type Order = [Arm; 4];

/// Head in the middle or outside, and either copy of the base first: what a place in the block is worth cancels over
/// the four, for the comparison and for the null control.
const ORDERS: [Order; 4] = {
    use Arm::{BaseA as A, BaseB as B, Head as H};
    [[A, H, H, B], [H, A, B, H], [B, H, H, A], [H, B, A, H]]
};

/// The order of each block of one benchmark: each of the four equally often, shuffled. `stream` tells benchmarks apart.
pub fn orders(seed: u64, stream: u64, blocks: usize) -> Vec<Order> {
    let mut orders: Vec<Order> = ORDERS.into_iter().cycle().take(blocks).collect();
    orders.shuffle(&mut random(seed, stream));
    orders
}

/// A generator for one purpose of one run.
pub fn random(seed: u64, stream: u64) -> Pcg64 {
    // Steps of the golden ratio keep the seeds of neighbouring streams apart, as SplitMix does.
    Pcg64::seed_from_u64(seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Four processes, two of each side. The numbers are nanoseconds an iteration, the median of a process's samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// What ran when.
    pub order: Order,
    /// What each gave.
    pub ns: [f64; 4],
    /// The machine's load when it began.
    pub load: Option<f64>,
}

impl Block {
    /// Runs the four in their order.
    pub fn measure(order: Order, mut run: impl FnMut(Arm) -> anyhow::Result<f64>) -> anyhow::Result<Self> {
        let load = machine::load();
        let mut ns = [0.0; 4];
        for (slot, arm) in order.into_iter().enumerate() {
            ns[slot] = run(arm)?;
        }
        Ok(Block { order, ns, load })
    }

    fn of(&self, wanted: fn(Arm) -> bool) -> [f64; 2] {
        let mut slots = (0..4).filter(|slot| wanted(self.order[*slot]));
        [slots.next(), slots.next()].map(|slot| slot.map_or(f64::NAN, |slot| self.ns[slot]))
    }

    /// Of the base, nanoseconds an iteration.
    pub fn base(&self) -> [f64; 2] {
        self.of(|arm| arm != Arm::Head)
    }

    /// Of the head, nanoseconds an iteration.
    pub fn head(&self) -> [f64; 2] {
        self.of(|arm| arm == Arm::Head)
    }

    /// Head against base.
    pub fn log_ratio(&self) -> f64 {
        block_log_ratio(self.base(), self.head())
    }

    /// One copy of the base against the other.
    pub fn null_log_ratio(&self) -> f64 {
        let slot =
            |arm| self.order.iter().position(|other| *other == arm).map_or(f64::NAN, |slot| self.ns[slot]);
        (slot(Arm::BaseB) / slot(Arm::BaseA)).ln()
    }
}

/// What the blocks say under a rule. `None` without blocks.
pub fn weigh(blocks: &[Block], rule: Rule) -> Option<Evidence> {
    let change: Vec<f64> = blocks.iter().map(Block::log_ratio).collect();
    let null: Vec<f64> = blocks.iter().map(Block::null_log_ratio).collect();
    Evidence::weigh(&change, &null, rule)
}

impl Report {
    /// The number of the format that this program writes.
    pub const VERSION: u32 = VERSION;

    /// The worst verdict, which decides how the command ends. `None` where there is none yet.
    pub fn worst(&self) -> Option<Verdict> {
        self.benchmarks.iter().filter_map(|one| Some(one.decision.as_ref()?.verdict)).max()
    }

    /// Reads what [`save`](Self::save) wrote.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not what this gate writes", path.display()))
    }

    /// Writes it as JSON, whole or not at all.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(self).context("could not write the report as JSON")?;
        text.push('\n');
        save(path, &text)
    }
}

/// Writes a file whole or not at all: under another name first, which replaces the old one once all is on the disk.
pub fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || {
        let directory = path.parent().unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        // As any other file, rather than for its owner alone.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(directory)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok::<_, std::io::Error>(())
    };
    write().with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_order_has_two_of_each_side_at_the_same_mean_place() {
        for order in ORDERS {
            let places =
                |head: bool| -> usize { (0..4).filter(|slot| (order[*slot] == Arm::Head) == head).sum() };
            assert_eq!((places(true), places(false)), (3, 3), "{order:?}");
        }
    }

    #[test]
    fn orders_are_balanced_and_their_seed_decides() {
        let sixteen = orders(1, 0, 16);
        assert_eq!(sixteen, orders(1, 0, 16));
        assert_ne!(sixteen, orders(2, 0, 16));
        assert_ne!(sixteen, orders(1, 1, 16));
        for order in ORDERS {
            assert_eq!(sixteen.iter().filter(|one| **one == order).count(), 4);
        }
    }

    #[test]
    fn a_block_knows_its_sides_whatever_the_order() {
        for order in ORDERS {
            let mut ran = HashSet::new();
            let block = Block::measure(order, |arm| {
                ran.insert(arm);
                Ok(match arm {
                    Arm::BaseA => 100.0,
                    Arm::BaseB => 104.0,
                    Arm::Head => 120.0,
                })
            });
            let block = block.unwrap();
            assert_eq!(ran.len(), 3);
            assert_eq!(block.head(), [120.0, 120.0]);
            assert!((block.log_ratio() - (120.0_f64 / (100.0_f64 * 104.0).sqrt()).ln()).abs() < 1e-12);
            assert!((block.null_log_ratio() - 1.04_f64.ln()).abs() < 1e-12);
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gate.json");
        save(&path, "one").unwrap();
        save(&path, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        let error = save(&directory.path().join("none/gate.json"), "x").unwrap_err();
        assert!(format!("{error:#}").contains("none/gate.json"), "{error:#}");
    }
}
