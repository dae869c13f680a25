//! The statistics behind a decision, as pure functions of numbers.
//!
//! Everything is on the natural-log scale: a block's value is `ln(head) − ln(base)`, so that "twice as slow" and
//! "twice as fast" are equally far from zero, and a percentage becomes a difference.

/// The middle value, or the mean of the two middle ones. `None` for no values.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// The value of one ABBA block: `mean ln(head) − mean ln(base)`, of times in any one unit.
///
/// A drift that is linear over the block cancels, because both sides have the same mean position in it.
pub fn block_log_ratio(base: [f64; 2], head: [f64; 2]) -> f64 {
    let mean_ln = |[first, second]: [f64; 2]| f64::midpoint(first.ln(), second.ln());
    mean_ln(head) - mean_ln(base)
}

/// A log ratio as a share: `0.05` is 5 % more time.
pub fn as_share(log_ratio: f64) -> f64 {
    log_ratio.exp_m1()
}

/// The bootstrap distribution of the median of some block values, exactly.
///
/// Percentile bootstrap: Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 13. The median is
/// taken rather than the mean because a process that was pushed aside for a while leaves a value far out. Of a median
/// the distribution over all `n^n` resamples can be written down (Maritz and Jarrett, *A note on estimating the variance
/// of the sample median*, 1978), so nothing is drawn at random, and the same blocks always get the same bounds.
#[derive(Debug)]
pub struct MedianBootstrap {
    /// How many values are resampled.
    observations: usize,
    estimate: f64,
    /// The medians that a resample can have, ascending, each with the chance of it.
    medians: Vec<(f64, f64)>,
}

impl MedianBootstrap {
    /// `None` for no values.
    pub fn new(values: &[f64]) -> Option<Self> {
        let estimate = median(values)?;
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let mut medians = if sorted.len() % 2 == 1 { odd_medians(&sorted) } else { even_medians(&sorted) };
        medians.sort_by(|a, b| a.0.total_cmp(&b.0));
        Some(MedianBootstrap { observations: values.len(), estimate, medians })
    }

    /// The median of the values themselves.
    pub fn estimate(&self) -> f64 {
        self.estimate
    }

    /// The one-sided lower bound: the median is at least this, but for a share `alpha` of all experiments.
    pub fn lower(&self, alpha: f64) -> f64 {
        quantile(self.medians.iter(), alpha, self.estimate)
    }

    /// The one-sided upper bound, as [`lower`](Self::lower).
    pub fn upper(&self, alpha: f64) -> f64 {
        quantile(self.medians.iter().rev(), alpha, self.estimate)
    }

    /// The p-value of "the median is not above `threshold`": the share of resamples whose median is not. It is below
    /// `alpha` exactly where the lower bound is above the threshold.
    ///
    /// It is never below `2^−n`, what a sign test gives when all `n` values are on one side: a bootstrap knows nothing
    /// of values rarer than those it was given. With few values it is still on the small side, up to some four times
    /// below a sign test's around 1 %; what keeps false alarms rare besides is the distance to the floor.
    pub fn p_value(&self, threshold: f64) -> f64 {
        let not_above = self.medians.iter().take_while(|(median, _)| *median <= threshold);
        let share: f64 = not_above.map(|(_, chance)| chance).sum();
        share.max(0.5_f64.powi(self.observations as i32))
    }
}

/// The first value at which the chances, summed from one end, exceed `alpha`.
fn quantile<'a>(medians: impl Iterator<Item = &'a (f64, f64)>, alpha: f64, estimate: f64) -> f64 {
    let mut sum = 0.0;
    for (median, chance) in medians {
        sum += chance;
        if sum > alpha {
            return *median;
        }
    }
    estimate
}

/// For odd `n`: a resample's median is at most the `k`-th value where at least `(n + 1) / 2` of `n` draws are among the
/// first `k`.
fn odd_medians(sorted: &[f64]) -> Vec<(f64, f64)> {
    let n = sorted.len();
    let at_most = |k: usize| 1.0 - binomial_at_most(n / 2, n, k as f64 / n as f64);
    sorted.iter().enumerate().map(|(index, value)| (*value, at_most(index + 1) - at_most(index))).collect()
}

/// For even `n = 2h`: a resample's median lies between its `h`-th draw, the value `i`, and the next one, the value `j`.
///
/// With `i < j`, `h` draws are among the first `i` values and one of them is `i`, and the other `h` are among the last,
/// from `j` on, and one of them is `j`. What is left of the chance that the `h`-th draw is `i` is that of `i = j`.
fn even_medians(sorted: &[f64]) -> Vec<(f64, f64)> {
    let n = sorted.len();
    let h = n / 2;
    let ways: f64 = (1..=h).map(|k| (h + k) as f64 / k as f64).product();
    let power = |k: usize| (k as f64 / n as f64).powi(h as i32);
    let at_most = |k: usize| 1.0 - binomial_at_most(h - 1, n, k as f64 / n as f64);
    let mut medians = Vec::with_capacity(n * (n + 1) / 2);
    for i in 0..n {
        let mut same = at_most(i + 1) - at_most(i);
        for j in i + 1..n {
            let chance = ways * (power(i + 1) - power(i)) * (power(n - j) - power(n - j - 1));
            same -= chance;
            medians.push((f64::midpoint(sorted[i], sorted[j]), chance));
        }
        medians.push((sorted[i], same));
    }
    medians
}

/// Which hypotheses Holm's step-down procedure rejects, in the order given: of `m` p-values in ascending order, the
/// `i`-th (from 0) is compared with `alpha / (m − i)`, and the first that is not smaller ends it.
///
/// The chance of any false rejection among all of them is at most `alpha`, whatever depends on what. Holm, *A simple
/// sequentially rejective multiple test procedure* (1979).
pub fn holm(p_values: &[f64], alpha: f64) -> Vec<bool> {
    let mut ascending: Vec<usize> = (0..p_values.len()).collect();
    ascending.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut rejected = vec![false; p_values.len()];
    for (position, &index) in ascending.iter().enumerate() {
        if p_values[index] >= alpha / (p_values.len() - position) as f64 {
            break;
        }
        rejected[index] = true;
    }
    rejected
}

/// The Clopper–Pearson interval of a rate at 95 %, from `hits` in `trials`: exact, never too narrow.
///
/// Clopper and Pearson, *The use of confidence or fiducial limits* (1934). Each bound is the rate at which so extreme
/// a count has a chance of 2.5 %.
pub fn rate_interval(hits: usize, trials: usize) -> (f64, f64) {
    const TAIL: f64 = 0.025;
    let rate_where = |is_above: &dyn Fn(f64) -> bool| {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if is_above(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        f64::midpoint(low, high)
    };
    let lower = if hits == 0 {
        0.0
    } else {
        rate_where(&|rate| 1.0 - binomial_at_most(hits - 1, trials, rate) > TAIL)
    };
    let upper =
        if hits == trials { 1.0 } else { rate_where(&|rate| binomial_at_most(hits, trials, rate) < TAIL) };
    (lower, upper)
}

/// `P(X ≤ hits)` for `X ~ Binomial(trials, rate)`.
fn binomial_at_most(hits: usize, trials: usize, rate: f64) -> f64 {
    if rate <= 0.0 || hits >= trials {
        return 1.0;
    }
    if rate >= 1.0 {
        return 0.0;
    }
    let mut ln_term = trials as f64 * (1.0 - rate).ln();
    let mut sum = ln_term.exp();
    for k in 1..=hits {
        ln_term += ((trials - k + 1) as f64 / k as f64).ln() + (rate / (1.0 - rate)).ln();
        sum += ln_term.exp();
    }
    sum
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn a_median_is_the_middle_and_nothing_has_none() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_linear_drift_cancels_within_a_block() {
        // The machine slows by 1 % of ln per slot; both sides take the same.
        let slot = |position: i32| (f64::from(position) * 0.01).exp();
        let abba = block_log_ratio([slot(0), slot(3)], [slot(1), slot(2)]);
        assert!(abba.abs() < 1e-12, "{abba}");
    }

    #[test]
    fn a_block_of_ten_percent_more_time_is_ten_percent() {
        let share = as_share(block_log_ratio([100.0, 100.0], [110.0, 110.0]));
        assert!((share - 0.10).abs() < 1e-12, "{share}");
    }

    #[test]
    fn the_exact_bootstrap_agrees_with_drawing() {
        const RESAMPLES: usize = 40_000;
        let mut rng = Pcg64::seed_from_u64(1);
        for n in [10, 15] {
            let values: Vec<f64> = (0..n).map(|_| rng.random::<f64>()).collect();
            let mut drawn: Vec<f64> = (0..RESAMPLES)
                .map(|_| {
                    let resample: Vec<f64> = (0..n).map(|_| values[rng.random_range(0..n)]).collect();
                    median(&resample).unwrap()
                })
                .collect();
            drawn.sort_by(f64::total_cmp);
            let exact = MedianBootstrap::new(&values).unwrap();
            assert!((exact.medians.iter().map(|(_, chance)| chance).sum::<f64>() - 1.0).abs() < 1e-9);
            for threshold in [0.2, 0.4, 0.5, 0.6, 0.8] {
                let share = drawn.partition_point(|m| *m <= threshold) as f64 / RESAMPLES as f64;
                let p = exact.p_value(threshold);
                assert!((p - share).abs() < 0.01, "{n} values, {threshold}: exact {p}, drawn {share}");
            }
        }
    }

    #[test]
    fn the_bound_and_the_p_value_say_the_same() {
        let values: Vec<f64> = (1..=15).map(f64::from).collect();
        let bootstrap = MedianBootstrap::new(&values).unwrap();
        let lower = bootstrap.lower(0.01);
        assert!(bootstrap.p_value(lower) > 0.01 && bootstrap.p_value(lower - 0.5) < 0.01);
        assert_eq!(lower + bootstrap.upper(0.01), 16.0, "symmetrical values have symmetrical bounds");
        assert_eq!(bootstrap.estimate(), 8.0);
    }

    #[test]
    fn a_p_value_is_never_below_that_of_the_sign_test() {
        let bootstrap = MedianBootstrap::new(&[1.0; 6]).unwrap();
        assert_eq!(bootstrap.p_value(0.0), 1.0 / 64.0, "six values cannot be rarer than 1 in 64");
    }

    #[test]
    fn holm_steps_down_and_stops_at_the_first_that_is_too_likely() {
        assert_eq!(holm(&[0.02, 0.001, 0.004], 0.01), [false, true, true]);
        // 0.004 alone would pass 0.01, but must pass 0.01 / 3 first.
        assert_eq!(holm(&[0.004, 0.5, 0.6], 0.01), [false, false, false]);
        assert_eq!(holm(&[], 0.01), Vec::<bool>::new());
    }

    #[test]
    fn rate_intervals_are_those_of_the_tables() {
        let (lower, upper) = rate_interval(0, 300);
        assert_eq!(lower, 0.0);
        assert!((upper - 0.01222).abs() < 1e-4, "{upper}");
        let (lower, upper) = rate_interval(8, 10);
        assert!((lower - 0.4439).abs() < 1e-3 && (upper - 0.9748).abs() < 1e-3, "{lower} {upper}");
        assert_eq!(rate_interval(10, 10).1, 1.0);
    }
}
