//! How slow and how unreliable a service is.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// The longest latency that a profile may have, in milliseconds.
pub const LONGEST_MS: u64 = 60_000;

/// How slow and how unreliable a service is. Shares are parts of all requests, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Profile {
    /// Every request takes at least this long, in milliseconds.
    pub base_ms: u64,
    /// Added to it, evenly distributed from 0 to this many milliseconds.
    pub jitter_ms: u64,
    /// Share of requests that take `slow_ms` longer.
    pub slow_share: f64,
    /// What a slow request takes longer, in milliseconds.
    pub slow_ms: u64,
    /// Share of [`Fate::Refused`].
    pub refused_share: f64,
    /// Share of [`Fate::Failed`].
    pub failed_share: f64,
    /// Share of [`Fate::Hung`].
    pub hung_share: f64,
    /// Share of [`Fate::Lost`].
    pub lost_share: f64,
    /// Share of [`Fate::Garbled`].
    pub garbled_share: f64,
    /// Requests that it works on at a time; more are refused at once with 503.
    pub capacity: usize,
}

impl Profile {
    /// Quick and reliable.
    pub const CALM: Profile = Profile {
        base_ms: 0,
        jitter_ms: 0,
        slow_share: 0.0,
        slow_ms: 0,
        refused_share: 0.0,
        failed_share: 0.0,
        hung_share: 0.0,
        lost_share: 0.0,
        garbled_share: 0.0,
        capacity: 1_000,
    };
}

impl Default for Profile {
    fn default() -> Self {
        Profile::CALM
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It takes effect and is answered.
    Answered,
    /// 503, and no effect.
    Refused,
    /// It takes effect, and the answer is 500.
    Failed,
    /// No effect, and no answer.
    Hung,
    /// It takes effect, and there is no answer.
    Lost,
    /// It takes effect, and only half of the answer arrives.
    Garbled,
}

impl Fate {
    /// Its value of the label `outcome`.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Answered => "answered",
            Fate::Refused => "refused",
            Fate::Failed => "failed",
            Fate::Hung => "hung",
            Fate::Lost => "lost",
            Fate::Garbled => "garbled",
        }
    }
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// What becomes of it.
    pub fate: Fate,
    /// How long it takes.
    pub latency: Duration,
}

/// A profile that cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// A share outside of 0 to 1.
    #[error("{0} must be from 0 to 1")]
    Share(&'static str),
    /// More than all requests.
    #[error("the shares of refused, failed, hung, lost and garbled requests must not add up to more than 1")]
    Shares,
    /// Longer than [`LONGEST_MS`].
    #[error("{0} must be at most {LONGEST_MS}")]
    TooLong(&'static str),
    /// Nobody could be served.
    #[error("capacity must be from 1 to 10000")]
    Capacity,
}

impl Profile {
    fn fates(&self) -> [(&'static str, f64, Fate); 5] {
        [
            ("refusedShare", self.refused_share, Fate::Refused),
            ("failedShare", self.failed_share, Fate::Failed),
            ("hungShare", self.hung_share, Fate::Hung),
            ("lostShare", self.lost_share, Fate::Lost),
            ("garbledShare", self.garbled_share, Fate::Garbled),
        ]
    }

    /// # Errors
    /// When a value is out of its range.
    pub fn validate(&self) -> Result<(), ProfileError> {
        let shares = self.fates().map(|(name, share, _)| (name, share));
        for (name, share) in shares.into_iter().chain([("slowShare", self.slow_share)]) {
            if !(0.0..=1.0).contains(&share) {
                return Err(ProfileError::Share(name));
            }
        }
        // Shares are decimal fractions, which do not add up exactly.
        if shares.iter().map(|(_, share)| share).sum::<f64>() > 1.0 + 1e-9 {
            return Err(ProfileError::Shares);
        }
        for (name, ms) in [("baseMs", self.base_ms), ("jitterMs", self.jitter_ms), ("slowMs", self.slow_ms)] {
            if ms > LONGEST_MS {
                return Err(ProfileError::TooLong(name));
            }
        }
        match self.capacity {
            1..=10_000 => Ok(()),
            _ => Err(ProfileError::Capacity),
        }
    }

    /// What happens to the `number`-th request of a service under this profile. The same seed and number always make the
    /// same draws, whatever the profile was for the requests before.
    pub fn plan(&self, seed: u64, number: u64) -> Plan {
        let mut rng = Pcg64::seed_from_u64(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (fate, slow, jitter): (f64, f64, f64) = (rng.random(), rng.random(), rng.random());
        let mut edge = 0.0;
        let fate = self.fates().into_iter().find_map(|(_, share, is)| {
            edge += share;
            (fate < edge).then_some(is)
        });
        let slow = if slow < self.slow_share { self.slow_ms } else { 0 };
        let ms = (self.base_ms + slow) as f64 + jitter * self.jitter_ms as f64;
        Plan { fate: fate.unwrap_or(Fate::Answered), latency: Duration::from_secs_f64(ms / 1e3) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUGH: Profile = Profile {
        base_ms: 20,
        jitter_ms: 10,
        slow_share: 0.1,
        slow_ms: 500,
        refused_share: 0.05,
        failed_share: 0.1,
        hung_share: 0.15,
        lost_share: 0.2,
        garbled_share: 0.25,
        capacity: 10,
    };

    #[test]
    fn the_shares_are_what_was_asked_for() {
        let plans: Vec<Plan> = (0..20_000).map(|number| ROUGH.plan(7, number)).collect();
        let share = |is: &dyn Fn(&Plan) -> bool| {
            plans.iter().filter(|plan| is(plan)).count() as f64 / plans.len() as f64
        };
        for (name, expected, fate) in ROUGH.fates().into_iter().chain([("answered", 0.25, Fate::Answered)]) {
            let share = share(&|plan| plan.fate == fate);
            assert!((share - expected).abs() < 0.01, "{name}: {share}");
        }
        let slow = share(&|plan| plan.latency >= Duration::from_millis(520));
        assert!((slow - 0.1).abs() < 0.01, "{slow}");
        for plan in plans {
            let ms = plan.latency.as_secs_f64() * 1e3;
            assert!((20.0..=30.0).contains(&ms) || (520.0..=530.0).contains(&ms), "{ms}");
        }
    }

    #[test]
    fn a_request_fares_the_same_with_the_same_seed_and_not_with_another() {
        let fates = |seed| (0..100).map(|number| ROUGH.plan(seed, number)).collect::<Vec<_>>();
        assert_eq!(fates(1), fates(1));
        assert_ne!(fates(1), fates(2));
        // A change for one request is none for the next.
        let calm = Profile { base_ms: 20, jitter_ms: 10, ..Profile::default() };
        assert_eq!(calm.plan(1, 5), calm.plan(1, 5));
        assert_eq!(calm.plan(1, 5).fate, Fate::Answered);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let of = |profile: Profile| profile.validate().unwrap_err();
        assert_eq!(ROUGH.validate(), Ok(()));
        assert_eq!(of(Profile { slow_share: -0.1, ..ROUGH }), ProfileError::Share("slowShare"));
        assert_eq!(of(Profile { hung_share: f64::NAN, ..ROUGH }), ProfileError::Share("hungShare"));
        assert_eq!(of(Profile { hung_share: 0.9, ..ROUGH }), ProfileError::Shares);
        assert_eq!(of(Profile { base_ms: 60_001, ..ROUGH }), ProfileError::TooLong("baseMs"));
        assert_eq!(of(Profile { capacity: 0, ..ROUGH }), ProfileError::Capacity);
        let thirds = Profile { hung_share: 0.7, lost_share: 0.1, failed_share: 0.2, ..Profile::default() };
        assert_eq!(thirds.validate(), Ok(()));
    }
}
