//! Who is measured when, and what is made of it.

use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use serde::Serialize;

/// What one measurement gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Sample {
    /// Successes a second.
    pub(super) rate: f64,
    /// Times from the intended start of each request, where the tool knows it.
    pub(super) response: Option<Percentiles>,
    /// Times from the sending of each request: blind to what waited to be sent.
    pub(super) service: Option<Percentiles>,
    /// Why the tool itself, or its count, says that the numbers are not to be used.
    pub(super) invalid: Option<String>,
}

/// Two percentiles, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// The two of times in microseconds.
pub(super) fn percentiles(times: &Histogram<u64>) -> Percentiles {
    Percentiles { p50_us: times.value_at_quantile(0.5) as f64, p99_us: times.value_at_quantile(0.99) as f64 }
}

/// One measurement, and where it stands in the plan.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Run {
    pub(super) round: u32,
    pub(super) subject: &'static str,
    #[serde(flatten)]
    pub(super) sample: Sample,
}

/// The order of one round: all subjects and then all of them backwards (ABBA), so that a drift of the machine falls on
/// all alike. Each round begins with the next subject, so that each is measured after each other one.
pub(super) fn order(subjects: usize, round: u32) -> Vec<usize> {
    let forwards: Vec<usize> = (0..subjects).map(|place| (place + round as usize) % subjects).collect();
    forwards.iter().chain(forwards.iter().rev()).copied().collect()
}

/// Measures all subjects in all rounds, one after another.
pub(super) async fn interleave(
    subjects: &[&'static str],
    rounds: u32,
    bar: &ProgressBar,
    measure: impl AsyncFn(usize) -> anyhow::Result<Sample>,
) -> anyhow::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for round in 0..rounds {
        for index in order(subjects.len(), round) {
            let subject = subjects[index];
            bar.set_message(subject);
            runs.push(Run { round, subject, sample: measure(index).await? });
            bar.inc(1);
        }
    }
    Ok(runs)
}

/// The middle of some numbers, and their range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Spread {
    /// None of none.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Some(Self { median, low, high })
    }
}

/// A value of one subject, over all valid runs.
pub(super) fn spread(runs: &[Run], subject: &str, value: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
    Spread::of(valid(runs, subject).filter_map(|run| value(&run.sample)))
}

/// A value of `subject` as a multiple of another one's: a ratio for each round, of the geometric means of its valid runs.
pub(super) fn ratio(
    runs: &[Run],
    subject: (&str, impl Fn(&Sample) -> Option<f64>),
    reference: (&str, impl Fn(&Sample) -> Option<f64>),
) -> Option<Spread> {
    let rounds = runs.iter().map(|run| run.round).max()? + 1;
    Spread::of((0..rounds).filter_map(|round| {
        let ours = mean_log(runs, round, subject.0, &subject.1)?;
        let theirs = mean_log(runs, round, reference.0, &reference.1)?;
        Some((ours - theirs).exp())
    }))
}

fn mean_log(runs: &[Run], round: u32, subject: &str, value: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    let of_round = valid(runs, subject).filter(|run| run.round == round);
    let logs: Vec<f64> = of_round.filter_map(|run| value(&run.sample)).map(f64::ln).collect();
    (!logs.is_empty()).then(|| logs.iter().sum::<f64>() / logs.len() as f64)
}

fn valid<'a>(runs: &'a [Run], subject: &str) -> impl Iterator<Item = &'a Run> {
    runs.iter().filter(move |run| run.subject == subject && run.sample.invalid.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(round: u32, subject: &'static str, rate: f64) -> Run {
        Run { round, subject, sample: Sample { rate, response: None, service: None, invalid: None } }
    }

    #[test]
    fn a_round_goes_there_and_back_and_each_subject_begins_once() {
        assert_eq!(order(3, 0), [0, 1, 2, 2, 1, 0]);
        assert_eq!(order(3, 1), [1, 2, 0, 0, 2, 1]);
        assert_eq!(order(2, 2), order(2, 0));
        assert_eq!(order(1, 5), [0, 0]);
    }

    #[test]
    fn a_drift_that_is_the_same_in_each_step_leaves_no_trace_in_the_ratio() {
        // Everything slows down by a tenth from one measurement to the next; a is half as fast as b.
        let mut speed = 1.0;
        let mut runs = Vec::new();
        for round in 0..3 {
            for subject in order(2, round).into_iter().map(|index| ["a", "b"][index]) {
                runs.push(run(round, subject, speed * if subject == "a" { 50.0 } else { 100.0 }));
                speed *= 0.9;
            }
        }
        let ratio = ratio(&runs, ("a", |s: &Sample| Some(s.rate)), ("b", |s: &Sample| Some(s.rate))).unwrap();
        for share in [ratio.low, ratio.median, ratio.high] {
            assert!((share - 0.5).abs() < 1e-12, "{ratio:?}");
        }
    }

    #[test]
    fn ratios_are_taken_within_rounds_and_their_middle_counts() {
        let runs = [
            [run(0, "a", 10.0), run(0, "b", 10.0)],
            [run(1, "a", 10.0), run(1, "b", 20.0)],
            [run(2, "a", 90.0), run(2, "b", 30.0)],
        ]
        .concat();
        let rate = |sample: &Sample| Some(sample.rate);
        let ratio = ratio(&runs, ("a", rate), ("b", rate));
        assert_eq!(ratio.map(|r| (r.median * 1e6).round() / 1e6), Some(1.0));
        assert_eq!(super::ratio(&runs, ("a", rate), ("missing", rate)), None);
        assert_eq!(spread(&runs, "b", rate), Some(Spread { median: 20.0, low: 10.0, high: 30.0 }));
        assert_eq!(Spread::of([]), None);
    }
}
