//! From numbers to a verdict.

use serde::{Deserialize, Serialize};

use super::stats::{self, MedianBootstrap, as_share};

/// One less the confidence of every bound, and the chance of any false alarm in a whole suite.
pub const ALPHA: f64 = 0.01;

/// The largest difference between two counts of the same program, as a share, at which counts are taken to repeat.
const STEADY: f64 = 0.002;

/// What separates a verdict from another, all as shares (`0.01` is 1 %).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Slowdowns up to this are nobody's business.
    pub floor: f64,
    /// The largest slowdown that a PASS may hide: where the interval still reaches it, the verdict is INCONCLUSIVE.
    pub resolution: f64,
}

/// What the gate says of one benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Both sides run the same machine code; nothing was measured.
    Identical,
    /// Not slower, and a slowdown of the resolution is excluded.
    Pass,
    /// Only the head has it; there is nothing to compare it with.
    Added,
    /// Not slower, but it executes more instructions than the floor allows.
    Warn,
    /// The data does not tell.
    Inconclusive,
    /// It could not be measured.
    Error,
    /// Only the base has it.
    Missing,
    /// Slower by more than the floor.
    Fail,
}

impl Verdict {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Identical => "IDENTICAL",
            Verdict::Pass => "PASS",
            Verdict::Added => "ADDED",
            Verdict::Warn => "WARN",
            Verdict::Inconclusive => "INCONCLUSIVE",
            Verdict::Error => "ERROR",
            Verdict::Missing => "MISSING",
            Verdict::Fail => "FAIL",
        }
    }

    /// The exit code of a suite whose worst verdict is this one.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Identical | Verdict::Pass | Verdict::Added | Verdict::Warn => 0,
            Verdict::Error => 1,
            Verdict::Missing | Verdict::Fail => 3,
            Verdict::Inconclusive => 4,
        }
    }
}

/// A median log ratio with its one-sided 99 % bounds, each as a share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The median of the blocks.
    pub estimate: f64,
    /// At least this, with 99 % confidence.
    pub lower: f64,
    /// At most this, with 99 % confidence.
    pub upper: f64,
}

impl From<&MedianBootstrap> for Interval {
    fn from(bootstrap: &MedianBootstrap) -> Self {
        Interval {
            estimate: as_share(bootstrap.estimate()),
            lower: as_share(bootstrap.lower(ALPHA)),
            upper: as_share(bootstrap.upper(ALPHA)),
        }
    }
}

/// What the times of one benchmark say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Head against base.
    pub change: Interval,
    /// The chance of such blocks if the head were not slower than the floor.
    pub p_value: f64,
    /// Base against base, from the same blocks.
    pub null: Interval,
    /// The null control is beyond the floor, in either direction: something other than the change moves the times.
    pub null_moved: bool,
}

impl Evidence {
    /// From the blocks' log ratios of head to base and of one copy of the base to the other. `None` without blocks.
    pub fn weigh(change: &[f64], null: &[f64], rule: Rule) -> Option<Self> {
        let threshold = rule.floor.ln_1p();
        let change = MedianBootstrap::new(change)?;
        let null = MedianBootstrap::new(null)?;
        Some(Evidence {
            change: Interval::from(&change),
            p_value: change.p_value(threshold),
            null: Interval::from(&null),
            null_moved: null.lower(ALPHA) > threshold || null.upper(ALPHA) < -threshold,
        })
    }
}

/// Which of the benchmarks are slower by more than the floor, with Holm's correction for how many were looked at.
pub fn slower(evidence: &[Evidence]) -> Vec<bool> {
    stats::holm(&evidence.iter().map(|one| one.p_value).collect::<Vec<_>>(), ALPHA)
}

/// The fewest blocks with which a slowdown can be told at all among so many benchmarks: `2^−n < alpha / m`.
pub fn fewest_blocks(benchmarks: usize) -> usize {
    (benchmarks.max(1) as f64 / ALPHA).log2().floor() as usize + 1
}

/// Instructions an iteration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Instructions {
    /// Of the base.
    pub base: f64,
    /// Of the base, counted a second time: tells whether counts repeat.
    pub base_again: f64,
    /// Of the head.
    pub head: f64,
}

/// What the instruction counts say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// The head executes more, beyond the floor.
    Up,
    /// It does not.
    Flat,
    /// Two counts of the same program differ too much; counts say nothing here.
    Unsteady,
    /// A benchmark that executes nothing was not measured.
    Zero,
}

impl Instructions {
    /// By how much the head executes more, as a share.
    pub fn change(&self) -> f64 {
        self.head / self.base - 1.0
    }

    /// What follows from the counts.
    pub fn testify(&self, rule: Rule) -> Witness {
        if [self.base, self.base_again, self.head].iter().any(|count| *count <= 0.0) {
            Witness::Zero
        } else if (self.base_again / self.base - 1.0).abs() > STEADY {
            Witness::Unsteady
        } else if self.change() > rule.floor {
            Witness::Up
        } else {
            Witness::Flat
        }
    }
}

/// What came of measuring again with the functions in another order in both executables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirmation {
    /// Slower there too.
    Slower,
    /// Not slower there: the layout was.
    NotSlower,
    /// It could not be tried, and why.
    Impossible(String),
}

/// A verdict and the sentence that explains it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What was decided.
    pub verdict: Verdict,
    /// Why, in a sentence for people.
    pub reason: String,
}

impl Decision {
    /// A verdict with its reason.
    pub fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Decision { verdict, reason: reason.into() }
    }
}

/// Whether a benchmark has to be measured again in another layout: it is slower, on code whose instructions repeat,
/// without executing more of them.
pub fn wants_confirmation(evidence: &Evidence, slower: bool, witness: Option<Witness>) -> bool {
    slower && !evidence.null_moved && witness == Some(Witness::Flat)
}

/// The verdict on a benchmark that was measured. `slower` is [`slower`]'s word on it.
pub fn decide(
    evidence: &Evidence,
    slower: bool,
    instructions: Option<&Instructions>,
    confirmation: Option<&Confirmation>,
    rule: Rule,
) -> Decision {
    let witness = instructions.map(|counts| counts.testify(rule));
    let counted = instructions.map(|counts| percent(counts.change())).unwrap_or_default();
    let Interval { estimate, lower, upper } = evidence.change;
    let by = format!("{} (at least {})", percent(estimate), percent(lower));
    if witness == Some(Witness::Zero) {
        return Decision::new(Verdict::Error, "no instructions were counted, so nothing can have run");
    }
    if evidence.null_moved {
        let moved = percent(evidence.null.estimate);
        let reason =
            format!("the base differs from itself by {moved}: the machine moves more than the floor");
        return Decision::new(Verdict::Inconclusive, reason);
    }
    match (slower, witness, confirmation) {
        (true, None, _) => Decision::new(Verdict::Fail, format!("slower by {by}")),
        (true, Some(Witness::Up), _) => {
            Decision::new(Verdict::Fail, format!("slower by {by}, with {counted} instructions"))
        }
        (true, Some(Witness::Flat), Some(Confirmation::Slower)) => {
            let reason = format!("slower by {by}, also in another code layout; instructions {counted}");
            Decision::new(Verdict::Fail, reason)
        }
        (true, Some(Witness::Flat), Some(Confirmation::NotSlower)) => {
            let reason =
                format!("slower by {by}, but not in another code layout, and instructions {counted}");
            Decision::new(Verdict::Inconclusive, reason)
        }
        (true, Some(Witness::Flat), Some(Confirmation::Impossible(why))) => {
            let reason = format!(
                "slower by {by} with {counted} instructions, and no other layout could be tried: {why}"
            );
            Decision::new(Verdict::Inconclusive, reason)
        }
        (true, Some(Witness::Flat), None) => {
            let reason =
                format!("slower by {by} with {counted} instructions, not confirmed in another layout");
            Decision::new(Verdict::Inconclusive, reason)
        }
        (true, Some(Witness::Unsteady | Witness::Zero), _) => {
            Decision::new(Verdict::Fail, format!("slower by {by}; instruction counts do not repeat here"))
        }
        (false, _, _) if upper >= rule.resolution => {
            let excluded = percent(rule.resolution);
            let reason = format!(
                "too noisy: it may be slower by {}, and {excluded} has to be excluded",
                percent(upper)
            );
            Decision::new(Verdict::Inconclusive, reason)
        }
        (false, Some(Witness::Up), _) => {
            Decision::new(Verdict::Warn, format!("not slower, but {counted} instructions"))
        }
        (false, _, _) => Decision::new(
            Verdict::Pass,
            format!("changed by {}, at most {}", percent(estimate), percent(upper)),
        ),
    }
}

/// A share as people read it: `+4.9 %`.
pub fn percent(share: f64) -> String {
    // Otherwise a hair below zero is shown as "-0.0 %".
    let rounded = (share * 1000.0).round() / 10.0 + 0.0;
    format!("{rounded:+.1} %")
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    const RULE: Rule = Rule { floor: 0.01, resolution: 0.05 };

    fn evidence(estimate: f64, lower: f64, upper: f64) -> Evidence {
        let change = Interval { estimate, lower, upper };
        let null = Interval { estimate: 0.0, lower: -0.005, upper: 0.005 };
        Evidence { change, p_value: 0.5, null, null_moved: false }
    }

    fn counts(head: f64) -> Instructions {
        Instructions { base: 1000.0, base_again: 1000.5, head }
    }

    fn verdict(
        evidence: Evidence,
        slower: bool,
        instructions: Option<Instructions>,
        confirmation: Option<Confirmation>,
    ) -> Verdict {
        decide(&evidence, slower, instructions.as_ref(), confirmation.as_ref(), RULE).verdict
    }

    #[test]
    fn time_alone_decides_without_a_second_witness() {
        assert_eq!(verdict(evidence(0.05, 0.03, 0.07), true, None, None), Verdict::Fail);
        assert_eq!(verdict(evidence(0.0, -0.01, 0.01), false, None, None), Verdict::Pass);
    }

    #[test]
    fn more_time_and_more_instructions_fail() {
        assert_eq!(verdict(evidence(0.05, 0.03, 0.07), true, Some(counts(1050.0)), None), Verdict::Fail);
    }

    #[test]
    fn more_time_alone_has_to_show_in_another_layout() {
        let slow = evidence(0.05, 0.03, 0.07);
        assert!(wants_confirmation(&slow, true, Some(Witness::Flat)));
        let with = |confirmation| verdict(slow, true, Some(counts(1000.0)), Some(confirmation));
        assert_eq!(with(Confirmation::Slower), Verdict::Fail);
        assert_eq!(with(Confirmation::NotSlower), Verdict::Inconclusive);
        assert_eq!(with(Confirmation::Impossible("no linker".into())), Verdict::Inconclusive);
    }

    #[test]
    fn more_instructions_alone_warn() {
        assert_eq!(verdict(evidence(0.0, -0.01, 0.01), false, Some(counts(1050.0)), None), Verdict::Warn);
    }

    #[test]
    fn counts_that_do_not_repeat_say_nothing() {
        let unsteady = Instructions { base: 1000.0, base_again: 1010.0, head: 1000.0 };
        assert_eq!(verdict(evidence(0.05, 0.03, 0.07), true, Some(unsteady), None), Verdict::Fail);
        assert_eq!(verdict(evidence(0.0, -0.01, 0.01), false, Some(unsteady), None), Verdict::Pass);
    }

    #[test]
    fn no_instructions_at_all_is_an_error() {
        assert_eq!(verdict(evidence(0.0, -0.01, 0.01), false, Some(counts(0.0)), None), Verdict::Error);
    }

    #[test]
    fn a_null_control_that_moves_takes_back_every_verdict() {
        for slower in [true, false] {
            let moved = Evidence { null_moved: true, ..evidence(0.05, 0.03, 0.07) };
            assert_eq!(verdict(moved, slower, None, None), Verdict::Inconclusive);
        }
    }

    #[test]
    fn a_pass_excludes_the_resolution() {
        assert_eq!(verdict(evidence(0.01, -0.03, 0.06), false, None, None), Verdict::Inconclusive);
    }

    #[test]
    fn few_blocks_cannot_tell_in_a_large_suite() {
        assert_eq!(fewest_blocks(1), 7, "a sign test cannot reach 1 % with six");
        assert_eq!(fewest_blocks(30), 12);
    }

    /// A number from the standard normal distribution (Box and Muller, 1958).
    fn normal(rng: &mut Pcg64) -> f64 {
        let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Block values as a shared two-core machine gives them: a spread of 1.5 %, and every tenth block disturbed, with
    /// five times that.
    fn blocks(rng: &mut Pcg64, slowdown: f64, spread: f64) -> Vec<f64> {
        (0..15)
            .map(|_| {
                let disturbed = if rng.random_bool(0.1) { 5.0 } else { 1.0 };
                slowdown.ln_1p() + normal(rng) * spread * disturbed
            })
            .collect()
    }

    /// Of 200 decisions by time on such blocks: how many fail, and how many are inconclusive.
    fn decisions(slowdown: f64, spread: f64) -> (usize, usize) {
        let mut rng = Pcg64::seed_from_u64(20);
        let verdicts: Vec<Verdict> = (0..200)
            .map(|_| {
                let change = blocks(&mut rng, slowdown, spread);
                // One pair of processes rather than two: wider by the square root of two.
                let null = blocks(&mut rng, 0.0, spread * std::f64::consts::SQRT_2);
                let evidence = Evidence::weigh(&change, &null, RULE).unwrap();
                let slower = slower(&[evidence])[0];
                decide(&evidence, slower, None, None, RULE).verdict
            })
            .collect();
        let count = |verdict| verdicts.iter().filter(|one| **one == verdict).count();
        (count(Verdict::Fail), count(Verdict::Inconclusive))
    }

    #[test]
    fn an_unchanged_program_is_hardly_ever_failed() {
        let (failed, inconclusive) = decisions(0.0, 0.015);
        assert!(failed <= 1, "{failed} of 200 failed");
        assert!(inconclusive <= 10, "{inconclusive} of 200 inconclusive");
    }

    #[test]
    fn a_change_below_the_floor_is_let_through() {
        let (failed, _) = decisions(0.005, 0.015);
        assert!(failed <= 3, "{failed} of 200 failed");
    }

    #[test]
    fn slowdowns_of_three_five_and_ten_percent_are_found() {
        for (slowdown, least) in [(0.03, 160), (0.05, 194), (0.10, 199)] {
            let (failed, _) = decisions(slowdown, 0.015);
            assert!(failed >= least, "{slowdown}: only {failed} of 200 found");
        }
    }

    #[test]
    fn on_a_machine_that_is_too_noisy_it_says_so_instead_of_passing() {
        let (failed, inconclusive) = decisions(0.0, 0.15);
        assert!(failed <= 2, "{failed} of 200 failed");
        assert!(inconclusive >= 150, "only {inconclusive} of 200 inconclusive");
    }

    #[test]
    fn a_null_control_that_is_off_by_three_percent_is_noticed() {
        let mut rng = Pcg64::seed_from_u64(4);
        let change = blocks(&mut rng, 0.03, 0.005);
        for bias in [0.03, -0.03] {
            let null = blocks(&mut rng, bias, 0.005);
            assert!(Evidence::weigh(&change, &null, RULE).unwrap().null_moved, "{bias}");
        }
    }

    #[test]
    fn a_suite_without_a_change_stays_green() {
        let mut rng = Pcg64::seed_from_u64(8);
        let red = (0..20)
            .filter(|_| {
                let evidence: Vec<Evidence> = (0..10)
                    .map(|_| {
                        let change = blocks(&mut rng, 0.0, 0.015);
                        Evidence::weigh(&change, &change, RULE).unwrap()
                    })
                    .collect();
                slower(&evidence).contains(&true)
            })
            .count();
        assert_eq!(red, 0);
    }
}
