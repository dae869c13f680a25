//! From the rounds of a variant to its verdict.

use target_app::catalogue::{CheckKind, Kind, Variant};

use crate::hint::Hinted;
use crate::load::{Load, Mode};
use crate::results::{CheckResult, VariantResult, Verdict};
use crate::scenarios::{Audit, Findings, Scenario};

/// What one round of a variant measured and found.
pub struct RoundResult {
    /// The load.
    pub load: Load,
    /// The audit after it.
    pub audit: Audit,
}

/// The part of all processor time that may be stolen by the machine's host before a latency is doubted.
pub const STOLEN_BOUND: f64 = 0.03;

impl RoundResult {
    /// Why the round says little of the server, and what to do about it: the generator was late, or objectives, and nothing
    /// else, were missed while the host gave much of the machine to others. What such noise breaks, it does not break each
    /// time; what the server breaks, it does.
    pub fn unfit(&self, scenario: &dyn Scenario) -> Option<Hinted> {
        if let Some(saturation) = &self.load.saturation {
            return Some(Hinted::new(saturation, &saturation.hint));
        }
        let stolen = self.load.cpu?.stolen_share();
        noise(&findings(scenario, &self.load, self.audit.findings.clone()).checks, stolen)
    }
}

fn noise(checks: &[CheckResult], stolen: f64) -> Option<Hinted> {
    let missed: Vec<_> = checks.iter().filter(|check| !check.held).collect();
    let objective = CheckKind::Objective.to_string();
    let doubtful = !missed.is_empty() && missed.iter().all(|check| check.kind == objective);
    (doubtful && stolen > STOLEN_BOUND).then(|| {
        let names: Vec<_> = missed.iter().map(|check| check.name.as_str()).collect();
        let seen = format!(
            "{} missed while the machine's host gave {:.0} % of its processors to others",
            names.join(", "),
            100.0 * stolen
        );
        Hinted::new(seen, "run it at a quieter hour, or on a machine of your own")
    })
}

/// What the kind of a variant demands of its verdict.
pub fn expected(kind: Kind) -> Verdict {
    match kind {
        Kind::Buggy | Kind::Tempting => Verdict::Exposed,
        Kind::Fixed => Verdict::Clean,
    }
}

/// Merges the rounds of one variant, at least one, and judges them.
pub fn judge(
    scenario: &dyn Scenario,
    variant: &Variant,
    expected: Verdict,
    rounds: Vec<RoundResult>,
) -> Option<VariantResult> {
    let count = rounds.len() as u32;
    let mut rounds = rounds.into_iter();
    let RoundResult { mut load, mut audit } = rounds.next()?;
    for round in rounds {
        load.merge(&round.load);
        audit = worse(audit, round.audit);
    }

    let Findings { mut checks, signals } = findings(scenario, &load, audit.findings);
    // Beside the other control. Of all rounds together, so that no single one has it.
    checks.insert(1, enough(&load, scenario.needs()));

    Some(VariantResult {
        name: variant.name.into(),
        kind: variant.kind.to_string(),
        claim: variant.claim.into(),
        verdict: verdict(&checks),
        expected,
        rounds: count,
        audit: audit.sentence,
        requests: load.request_stats(),
        headline: scenario.headline().into(),
        throughput: load.throughput(scenario.headline()),
        tickets: load.tickets,
        signals,
        series: load.series.clone(),
        slowest: load.slowest.clone(),
        checks,
    })
}

/// All that a load and its audit say, but for whether it was enough.
pub fn findings(scenario: &dyn Scenario, load: &Load, audit: Findings) -> Findings {
    let objectives = scenario.objectives(load);
    let mut checks = vec![kept_up(load)];
    checks.extend(audit.checks);
    checks.extend(objectives.checks);
    // In the order of the declaration, which is the order of the argument.
    let rank =
        |check: &CheckResult| scenario.exercise().checks.iter().position(|spec| spec.name == check.name);
    checks.sort_by_key(rank);
    let mut signals = audit.signals;
    signals.extend(objectives.signals);
    Findings { checks, signals }
}

/// A run whose controls failed means nothing; any other check that failed exposes the variant.
fn verdict(checks: &[CheckResult]) -> Verdict {
    let control = CheckKind::Control.to_string();
    let failed = |control_wanted: bool| {
        checks.iter().any(|check| !check.held && (check.kind == control) == control_wanted)
    };
    match (failed(true), failed(false)) {
        (true, _) => Verdict::Invalid,
        (false, true) => Verdict::Exposed,
        (false, false) => Verdict::Clean,
    }
}

/// The control that every load has.
fn kept_up(load: &Load) -> CheckResult {
    CheckResult {
        name: "generator-kept-up".into(),
        kind: CheckKind::Control.to_string(),
        held: load.saturation.is_none(),
        expected: "every request is sent on time, unless the server held it up".into(),
        observed: match (&load.saturation, load.mode) {
            (Some(saturation), _) => saturation.to_string(),
            (None, Mode::Closed) => {
                "a closed loop is never late: its users send when they have been answered".into()
            }
            (None, Mode::Open) => {
                format!("timer lag p99 {:.1} ms", load.timer_lag.value_at_quantile(0.99) as f64 / 1000.0)
            }
        },
    }
}

/// The control that there was a load at all: of nothing, every promise holds.
fn enough(load: &Load, needs: &[(&str, u64)]) -> CheckResult {
    let seen = needs.iter().map(|(name, least)| (*name, load.response(name).len(), *least));
    let short: Vec<String> = (seen.clone())
        .filter(|(_, seen, least)| seen < least)
        .map(|(name, seen, least)| {
            format!("{seen} of {name}, {least} at least: raise --duration, --rate or --rounds")
        })
        .collect();
    CheckResult {
        name: "enough-load".into(),
        kind: CheckKind::Control.to_string(),
        held: short.is_empty(),
        expected: "enough requests to judge by".into(),
        observed: match short.is_empty() {
            true => seen.map(|(name, seen, _)| format!("{seen} × {name}")).collect::<Vec<_>>().join(", "),
            false => short.join("; "),
        },
    }
}

/// The audits of two rounds as one: that of the worse round, with what failed only in the other.
fn worse(audit: Audit, other: Audit) -> Audit {
    let rank = |audit: &Audit| {
        let failures = audit.findings.checks.iter().filter(|check| !check.held).count();
        (failures, audit.findings.signals.first().map_or(0.0, |signal| signal.value))
    };
    let (mut worse, better) = if rank(&other) > rank(&audit) { (other, audit) } else { (audit, other) };
    for (check, other) in worse.findings.checks.iter_mut().zip(better.findings.checks) {
        if check.held && !other.held {
            *check = other;
        }
    }
    worse
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, kind: CheckKind, held: bool) -> CheckResult {
        CheckResult {
            name: name.into(),
            kind: kind.to_string(),
            held,
            expected: String::new(),
            observed: held.to_string(),
        }
    }

    #[test]
    fn a_failed_control_makes_a_run_invalid_whatever_else_failed() {
        let control = |held| check("control", CheckKind::Control, held);
        let invariant = |held| check("invariant", CheckKind::Invariant, held);
        assert_eq!(verdict(&[control(true), invariant(true)]), Verdict::Clean);
        assert_eq!(verdict(&[control(true), invariant(false)]), Verdict::Exposed);
        assert_eq!(verdict(&[control(false), invariant(false)]), Verdict::Invalid);
        assert_eq!(verdict(&[control(false), invariant(true)]), Verdict::Invalid);
    }

    #[test]
    fn only_what_noise_can_break_is_doubted_and_only_when_there_was_noise() {
        let objective = |held| check("quick", CheckKind::Objective, held);
        let invariant = |held| check("right", CheckKind::Invariant, held);
        let noisy = 2.0 * STOLEN_BOUND;
        let doubted = noise(&[invariant(true), objective(false)], noisy).expect("it may have been the noise");
        assert!(
            doubted.to_string().contains("quick missed") && doubted.to_string().contains("6 %"),
            "{doubted}"
        );
        assert!(noise(&[invariant(true), objective(false)], STOLEN_BOUND).is_none());
        assert!(noise(&[invariant(false), objective(false)], noisy).is_none());
        assert!(noise(&[invariant(true), objective(true)], noisy).is_none());
    }

    #[test]
    fn one_bad_round_is_enough() {
        let audit = |held: bool, value| Audit {
            sentence: format!("held: {held}"),
            findings: Findings {
                checks: vec![check("a", CheckKind::Invariant, held)],
                signals: vec![crate::scenarios::signal("s", value, "", None)],
            },
        };
        for (first, second) in [(audit(true, 1.0), audit(false, 5.0)), (audit(false, 5.0), audit(true, 1.0))]
        {
            let merged = worse(first, second);
            assert_eq!(merged.sentence, "held: false");
            assert!(!merged.findings.checks[0].held);
            assert_eq!(merged.findings.signals[0].value, 5.0);
        }
    }
}
