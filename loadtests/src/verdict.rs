//! From the rounds of a variant to its verdict.

use std::collections::BTreeSet;

use target_app::catalogue::{CheckKind, Exercise, KEEPS_CONTRACT, Kind, Variant};

use crate::checks::{Audit, Findings, skipped};
use crate::hint::Hinted;
use crate::load::{Incident, Load, Mode};
use crate::reference::REFERENCE;
use crate::results::{
    CheckResult, IncidentMark, SignalValue, SlowRequest, Tickets, VariantResult, Verdict, Worse,
};
use crate::scenarios::AnyScenario;

/// What one round of a variant measured and found.
pub struct RoundResult {
    /// What the server answered to a single client.
    pub contract: CheckResult,
    /// The load and the audit after it; none where the server did not answer what the load has to know.
    pub measured: Option<(Load, Audit)>,
}

/// The part of all processor time that may be stolen by the machine's host before a run is called noisy.
pub const STOLEN_BOUND: f64 = 0.03;

/// The kind of what stands in a variant's place, such as a participant's edit.
pub const SOLUTION: &str = "solution";

impl RoundResult {
    /// The load, where there was one.
    pub fn load(&self) -> Option<&Load> {
        self.measured.as_ref().map(|(load, _)| load)
    }

    /// Requests that ended neither as asked for nor in a refusal that is expected.
    pub fn failed_requests(&self) -> u64 {
        self.load().map_or(0, |load| load.tickets.failed + load.warm_up.failed)
    }

    /// Adds to the contract, or else to the first check that failed, what the server itself said.
    pub fn explain(&mut self, words: &str) {
        let audited = self.measured.iter_mut().flat_map(|(_, audit)| &mut audit.findings.checks);
        let failed = std::iter::once(&mut self.contract).chain(audited).find(|check| !check.held);
        if let Some(check) = failed.filter(|_| !words.is_empty()) {
            check.observed = format!("{}; {words}", check.observed);
        }
    }

    /// Why the round says little of the server, and what to do about it: the generator was late, or nothing was missed but
    /// what the machine may have been too busy for. What such noise breaks, it does not break each time; what the server
    /// breaks, it does.
    pub fn unfit(&self, scenario: &dyn AnyScenario, variant: &Variant) -> Option<Hinted> {
        let (load, audit) = self.measured.as_ref()?;
        if let Some(saturation) = &load.saturation {
            return Some(Hinted::new(saturation, &saturation.hint));
        }
        let mut checks = findings(scenario, load, audit.findings.clone()).checks;
        checks.push(self.contract.clone());
        undoubt(&mut checks, variant);
        noise(&checks)
    }
}

fn noise(checks: &[CheckResult]) -> Option<Hinted> {
    let missed: Vec<_> = checks.iter().filter(|check| !check.held).collect();
    let doubt = missed.first()?.doubt.as_ref()?;
    missed.iter().all(|check| check.doubt.is_some()).then(|| {
        let names: Vec<_> = missed.iter().map(|check| check.name.as_str()).collect();
        Hinted::new(
            format!("{} missed, but {doubt}", names.join(", ")),
            "run it at a quieter hour, or on a machine of your own",
        )
    })
}

/// What a variant must fail is no surprise, so it is not put down to the machine, unless the generator was late as well.
fn undoubt(checks: &mut [CheckResult], variant: &Variant) {
    if checks.iter().any(|check| check.name == KEPT_UP && !check.held) {
        return;
    }
    for check in checks.iter_mut().filter(|check| variant.must_fail.contains(&check.name.as_str())) {
        check.doubt = None;
    }
}

/// What the kind of a variant demands of its verdict.
pub fn expected(kind: Kind) -> Verdict {
    match kind {
        Kind::Buggy | Kind::Tempting => Verdict::Exposed,
        Kind::Fixed => Verdict::Clean,
    }
}

/// Merges the rounds of one variant, at least one, and judges them. What is expected of it the catalogue says; a `solution`,
/// which only stands in the variant's place, must be clean.
pub fn judge(
    scenario: &dyn AnyScenario,
    variant: &Variant,
    solution: Option<&str>,
    rounds: Vec<RoundResult>,
) -> Option<VariantResult> {
    let exercise = scenario.spec().exercise;
    let count = rounds.len() as u32;
    let mut contract: Option<CheckResult> = None;
    let mut merged: Option<(Load, Audit)> = None;
    let mut unreported = BTreeSet::new();
    for RoundResult { contract: one, measured } in rounds {
        contract = Some(match contract {
            Some(all) => worse_check(all, one),
            None => one,
        });
        let Some((load, audit)) = measured else { continue };
        unreported.extend(missing(exercise, &findings(scenario, &load, audit.findings.clone()).checks));
        merged = Some(match merged {
            Some((mut all, before)) => {
                all.merge(&load);
                (all, worse(before, audit))
            }
            None => (load, audit),
        });
    }
    let contract = contract?;

    let mut findings = match &merged {
        Some((load, audit)) => findings(scenario, load, audit.findings.clone()),
        None => Findings::default(),
    };
    let checks = &mut findings.checks;
    checks.push(contract);
    match &merged {
        Some((load, _)) => {
            // Of all rounds together, so that no single one has it.
            checks.push(enough(load, scenario.spec().needs));
            checks.push(all_reported(&unreported));
        }
        None => {
            for name in missing(exercise, checks) {
                checks.push(skipped(exercise, name, "no load was sent"));
            }
        }
    }
    in_order(exercise, checks);
    let fails_like = match solution {
        Some(_) => like(exercise, checks),
        None => Vec::new(),
    };
    let (name, kind, claim, expected, must_fail) = match solution {
        Some(name) => (name, SOLUTION.to_owned(), "Whoever wrote it", Verdict::Clean, &[][..]),
        None => {
            undoubt(checks, variant);
            (variant.name, variant.kind.to_string(), variant.claim, expected(variant.kind), variant.must_fail)
        }
    };

    let load = merged.as_ref().map(|(load, _)| load);
    Some(VariantResult {
        name: name.into(),
        kind,
        claim: claim.into(),
        verdict: verdict(checks),
        expected,
        must_fail: must_fail.iter().map(|name| (*name).to_owned()).collect(),
        fails_like,
        rounds: count,
        audit: merged.as_ref().map_or_else(|| "no load".into(), |(_, audit)| audit.sentence.clone()),
        requests: load.map(Load::request_stats).unwrap_or_default(),
        headline: exercise.headline.into(),
        throughput: load.map_or(0.0, |load| load.throughput(exercise.headline)),
        tickets: load.map_or_else(Tickets::default, |load| load.tickets),
        series: load.map(|load| load.series.clone()).unwrap_or_default(),
        incidents: load.map(incidents).unwrap_or_default(),
        slowest: load.map(slowest).unwrap_or_default(),
        signals: findings.signals,
        checks: findings.checks,
    })
}

fn incidents(load: &Load) -> Vec<IncidentMark> {
    let mark = |incident: &Incident| IncidentMark {
        what: incident.what.clone(),
        from_s: incident.from.as_secs_f64(),
        to_s: incident.to.map(|over| over.as_secs_f64()),
    };
    load.incidents.iter().map(mark).collect()
}

/// The slowest requests to what is judged: no log of it knows those to the reference server.
fn slowest(load: &Load) -> Vec<SlowRequest> {
    load.slowest.iter().filter(|request| request.request != REFERENCE).cloned().collect()
}

/// All that a load and its audit say, but for whether it was enough.
pub fn findings(scenario: &dyn AnyScenario, load: &Load, audit: Findings) -> Findings {
    let objectives = scenario.objectives(load);
    let mut checks = vec![kept_up(load)];
    checks.extend(audit.checks);
    checks.extend(objectives.checks);
    in_order(scenario.spec().exercise, &mut checks);
    let mut signals = audit.signals;
    signals.extend(objectives.signals);
    Findings { checks, signals }
}

/// Sorts them as the exercise declares them, which is the order of the argument; the controls, which it does not, come first.
fn in_order(exercise: &Exercise, checks: &mut [CheckResult]) {
    checks.sort_by_key(|check| exercise.checks.iter().position(|spec| spec.name == check.name));
}

/// The declared checks but that of the contract that are not among these.
fn missing(exercise: &Exercise, checks: &[CheckResult]) -> Vec<&'static str> {
    let names = exercise.checks.iter().map(|spec| spec.name).filter(|name| *name != KEEPS_CONTRACT.name);
    names.filter(|name| !checks.iter().any(|check| check.name == *name)).collect()
}

/// A broken contract exposes by itself, because no load had a part in it. Else a run whose controls failed means nothing, but
/// for a late generator, which spoils nothing except what is measured in time, and if it was slightly late, only what this may
/// explain. Any other check that failed exposes the variant, and one that may have been the machine's fault leaves it open.
fn verdict(checks: &[CheckResult]) -> Verdict {
    let [control, objective] = [CheckKind::Control, CheckKind::Objective].map(|kind| kind.to_string());
    let failed =
        |which: &dyn Fn(&CheckResult) -> bool| checks.iter().any(|check| !check.held && which(check));
    let timeless = |check: &CheckResult| check.kind != control && check.kind != objective;
    if failed(&|check| check.name == KEEPS_CONTRACT.name) {
        Verdict::Exposed
    } else if failed(&|check| check.kind == control && check.name != KEPT_UP) {
        Verdict::Invalid
    } else if failed(&timeless) {
        Verdict::Exposed
    } else if failed(&|check| check.name == KEPT_UP && check.doubt.is_none()) {
        Verdict::Invalid
    } else if failed(&|check| check.doubt.is_none()) {
        Verdict::Exposed
    } else if failed(&|_| true) {
        Verdict::Invalid
    } else {
        Verdict::Clean
    }
}

/// The listed variants that must fail what these checks say failed: of those, the ones that must fail most of it.
fn like(exercise: &Exercise, checks: &[CheckResult]) -> Vec<String> {
    let failed = |name: &str| checks.iter().any(|check| check.name == name && !check.held);
    let alike = exercise
        .variants
        .iter()
        .filter(|variant| !variant.must_fail.is_empty() && variant.must_fail.iter().all(|name| failed(name)));
    let most = alike.clone().map(|variant| variant.must_fail.len()).max();
    alike
        .filter(|variant| Some(variant.must_fail.len()) == most)
        .map(|variant| variant.name.to_owned())
        .collect()
}

fn control(name: &str, held: bool, expected: &str, observed: String) -> CheckResult {
    CheckResult {
        name: name.into(),
        kind: CheckKind::Control.to_string(),
        held,
        doubt: None,
        skipped: None,
        expected: expected.into(),
        observed,
    }
}

/// Name of the control that every load has.
const KEPT_UP: &str = "generator-kept-up";

fn kept_up(load: &Load) -> CheckResult {
    let slight = load.saturation.as_ref().is_some_and(|saturation| saturation.slight);
    let kept_up = control(
        KEPT_UP,
        load.saturation.is_none(),
        "every request is sent on time, unless the server held it up",
        match (&load.saturation, load.mode) {
            (Some(saturation), _) => saturation.to_string(),
            (None, Mode::Closed) => {
                "a closed loop is never late: its users send when they have been answered".into()
            }
            (None, Mode::Open) => {
                format!("timer lag p99 {:.1} ms", load.timer_lag.value_at_quantile(0.99) as f64 / 1000.0)
            }
        },
    );
    CheckResult { doubt: slight.then(|| "what fails by more than that fails all the same".into()), ..kept_up }
}

/// The control that there was enough load: a check that saw no request would hold. What was never sent proves nothing.
fn enough(load: &Load, needs: &[(&str, u64)]) -> CheckResult {
    let seen = needs.iter().map(|(name, least)| (*name, load.sent(name), *least));
    let short: Vec<String> = (seen.clone())
        .filter(|(_, seen, least)| seen < least)
        .map(|(name, seen, least)| {
            let never = load.response(name).len() - seen;
            if never > seen {
                format!("{seen} of {name} were sent and {never} never, {least} at least: lower --rate")
            } else {
                format!("{seen} of {name}, {least} at least: raise --duration, --rate or --rounds")
            }
        })
        .collect();
    control(
        "enough-load",
        short.is_empty(),
        "enough requests were sent to judge by",
        if short.is_empty() {
            seen.map(|(name, seen, _)| format!("{seen} × {name}")).collect::<Vec<_>>().join(", ")
        } else {
            short.join("; ")
        },
    )
}

/// The control that nothing was forgotten: a check that nobody made holds in silence.
fn all_reported(unreported: &BTreeSet<&str>) -> CheckResult {
    let names: Vec<_> = unreported.iter().copied().collect();
    control(
        "all-checks-made",
        names.is_empty(),
        "every check of the exercise is made in every round, or says why not",
        if names.is_empty() { "all were".into() } else { format!("not made: {}", names.join(", ")) },
    )
}

/// The audits of two rounds as one: the sentence of the worse round, and of each check and figure the worse one.
fn worse(audit: Audit, other: Audit) -> Audit {
    let rank = |audit: &Audit| audit.findings.checks.iter().filter(|check| !check.held).count();
    let second = match rank(&audit).cmp(&rank(&other)) {
        std::cmp::Ordering::Equal => match (audit.findings.signals.first(), other.findings.signals.first()) {
            (Some(one), Some(other)) => is_worse(other, one),
            _ => false,
        },
        order => order.is_lt(),
    };
    let (mut worse, better) = if second { (other, audit) } else { (audit, other) };
    for check in better.findings.checks {
        match worse.findings.checks.iter_mut().find(|ours| ours.name == check.name) {
            Some(ours) => *ours = worse_check(ours.clone(), check),
            None => worse.findings.checks.push(check),
        }
    }
    for signal in better.findings.signals {
        match worse.findings.signals.iter_mut().find(|ours| ours.name == signal.name) {
            Some(ours) if is_worse(&signal, ours) => *ours = signal,
            Some(_) => {}
            None => worse.findings.signals.push(signal),
        }
    }
    worse
}

/// Of two results of one check, the one that failed; of two that failed, the one without a doubt.
fn worse_check(check: CheckResult, other: CheckResult) -> CheckResult {
    let rank = |check: &CheckResult| match (check.held, &check.doubt, &check.skipped) {
        (false, None, _) => 3,
        (false, Some(_), _) => 2,
        // What could not be made in one round is not made up for by the other.
        (true, _, Some(_)) => 1,
        (true, _, None) => 0,
    };
    if rank(&other) > rank(&check) { other } else { check }
}

fn is_worse(signal: &SignalValue, than: &SignalValue) -> bool {
    match than.worse {
        Worse::Higher => signal.value > than.value,
        Worse::Lower => signal.value < than.value,
    }
}

#[cfg(test)]
mod tests {
    use target_app::exercises::oversold_stock::EXERCISE;

    use super::*;
    use crate::checks::{signal, signal_to_keep_up};

    fn check(name: &str, kind: CheckKind, held: bool) -> CheckResult {
        CheckResult { kind: kind.to_string(), ..control(name, held, "", held.to_string()) }
    }

    fn doubted(check: CheckResult) -> CheckResult {
        CheckResult { doubt: Some("the machine was busy".into()), ..check }
    }

    #[test]
    fn a_failed_control_makes_a_run_invalid_whatever_else_failed_but_the_contract() {
        let control = |held| check("control", CheckKind::Control, held);
        let invariant = |held| check("invariant", CheckKind::Invariant, held);
        let contract = check(KEEPS_CONTRACT.name, CheckKind::Invariant, false);
        assert_eq!(verdict(&[control(true), invariant(true)]), Verdict::Clean);
        assert_eq!(verdict(&[control(true), invariant(false)]), Verdict::Exposed);
        assert_eq!(verdict(&[control(false), invariant(false)]), Verdict::Invalid);
        assert_eq!(verdict(&[control(false), invariant(true)]), Verdict::Invalid);
        assert_eq!(verdict(&[control(false), contract]), Verdict::Exposed);
    }

    #[test]
    fn a_late_generator_excuses_what_is_measured_in_time_and_nothing_else() {
        let late = || check(KEPT_UP, CheckKind::Control, false);
        let failed = |kind| check("other", kind, false);
        assert_eq!(verdict(&[late()]), Verdict::Invalid);
        assert_eq!(verdict(&[late(), failed(CheckKind::Objective)]), Verdict::Invalid);
        assert_eq!(verdict(&[late(), failed(CheckKind::Invariant)]), Verdict::Exposed);
        assert_eq!(verdict(&[late(), failed(CheckKind::Signal)]), Verdict::Exposed);
    }

    #[test]
    fn a_slightly_late_generator_excuses_what_that_may_explain_and_makes_nothing_clean() {
        let late = || doubted(check(KEPT_UP, CheckKind::Control, false));
        let failed = || check("quick", CheckKind::Objective, false);
        assert_eq!(verdict(&[late()]), Verdict::Invalid);
        assert_eq!(verdict(&[late(), doubted(failed())]), Verdict::Invalid);
        assert_eq!(verdict(&[late(), failed()]), Verdict::Exposed);
        let buggy = EXERCISE.variant("buggy").unwrap();
        let mut checks = [late(), doubted(check(buggy.must_fail[0], CheckKind::Objective, false))];
        undoubt(&mut checks, buggy);
        assert_eq!(verdict(&checks), Verdict::Invalid);
    }

    #[test]
    fn a_doubt_leaves_it_open_and_excuses_nothing_else() {
        let quick = || doubted(check("quick", CheckKind::Objective, false));
        let right = |held| check("right", CheckKind::Invariant, held);
        assert_eq!(verdict(&[quick(), right(true)]), Verdict::Invalid);
        assert_eq!(verdict(&[quick(), right(false)]), Verdict::Exposed);
        let why = noise(&[quick(), right(true)]).expect("it may have been the machine");
        assert!(why.to_string().contains("quick missed, but the machine was busy"), "{why}");
        assert!(noise(&[quick(), right(false)]).is_none());
        assert!(noise(&[right(true)]).is_none());
    }

    #[test]
    fn what_a_variant_must_fail_is_never_doubted() {
        let buggy = EXERCISE.variant("buggy").unwrap();
        let mut checks = [doubted(check(buggy.must_fail[0], CheckKind::Objective, false))];
        undoubt(&mut checks, buggy);
        assert_eq!(verdict(&checks), Verdict::Exposed);
    }

    #[test]
    fn an_edit_is_likened_to_the_variants_whose_predictions_came_true() {
        let failed = |name: &str| check(name, CheckKind::Invariant, false);
        assert_eq!(like(&EXERCISE, &[failed("only-clean-refusals"), failed("recovers")]), ["row-lock"]);
        assert_eq!(like(&EXERCISE, &[failed("recovers")]), [""; 0]);
        assert_eq!(like(&EXERCISE, &[failed("sold-within-stock")]), ["buggy", "transaction", "process-lock"]);
    }

    #[test]
    fn a_check_that_nobody_made_is_named() {
        let checks = [check("sells-out", CheckKind::Invariant, true)];
        let missing: BTreeSet<_> = missing(&EXERCISE, &checks).into_iter().collect();
        assert!(missing.contains("stock-adds-up") && !missing.contains("sells-out"), "{missing:?}");
        assert!(!all_reported(&missing).held);
        assert!(all_reported(&BTreeSet::new()).held);
    }

    #[test]
    fn one_bad_round_is_enough_whichever_it_is_and_in_whatever_order_its_checks_are() {
        let audit = |held: bool, value| {
            let mut checks = vec![
                check("a", CheckKind::Invariant, held),
                check("b", CheckKind::Invariant, true),
                check("c", CheckKind::Invariant, !held),
            ];
            if held {
                checks.rotate_left(1);
            }
            let signals = vec![signal("up", value, "", None), signal_to_keep_up("down", value, "", None)];
            Audit { sentence: format!("held: {held}"), findings: Findings { checks, signals } }
        };
        for (first, second) in [(audit(true, 1.0), audit(false, 5.0)), (audit(false, 5.0), audit(true, 1.0))]
        {
            let merged = worse(first, second);
            assert_eq!(merged.sentence, "held: false");
            let failed = merged.findings.checks.iter().filter(|check| !check.held);
            assert_eq!(failed.map(|check| check.name.as_str()).collect::<BTreeSet<_>>(), ["a", "c"].into());
            let values = merged.findings.signals.iter().map(|signal| (signal.name.as_str(), signal.value));
            assert_eq!(values.collect::<Vec<_>>(), [("up", 5.0), ("down", 1.0)]);
        }
    }
}
