//! Money, in cents inside and as a decimal number of currency units in JSON.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in cents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct Cents(pub i64);

impl Cents {
    /// The price of `quantity` pieces.
    pub fn times(self, quantity: i32) -> Cents {
        Cents(self.0 * i64::from(quantity))
    }
}

impl std::iter::Sum for Cents {
    fn sum<I: Iterator<Item = Cents>>(amounts: I) -> Cents {
        Cents(amounts.map(|amount| amount.0).sum())
    }
}

impl std::fmt::Display for Cents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        f.pad(&format!("{sign}{}.{:02}", self.0.abs() / 100, self.0.abs() % 100))
    }
}

impl Serialize for Cents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The shortest decimal that reads back as this double is the amount itself, up to `MOST_CENTS` at least.
        serializer.serialize_f64(self.0 as f64 / 100.0)
    }
}

/// Amounts of at most fifteen digits are told apart by doubles; far above, several share one.
const MOST_CENTS: f64 = 1e15;

impl<'de> Deserialize<'de> for Cents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let units = f64::deserialize(deserializer)?;
        let cents = (units * 100.0).round();
        if !(-MOST_CENTS..=MOST_CENTS).contains(&cents) {
            return Err(D::Error::custom(format!("{units} is too large an amount of money")));
        }
        // The quotient of two whole numbers is the double next to it, which is what a decimal is read as.
        if cents / 100.0 != units {
            return Err(D::Error::custom(format!("{units} has more than two decimal places")));
        }
        Ok(Cents(cents as i64))
    }
}

impl utoipa::PartialSchema for Cents {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::Number)
            .description(Some("Currency units, with at most two decimal places"))
            .build()
            .into()
    }
}

impl utoipa::ToSchema for Cents {}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use serde::de::IntoDeserializer;
    use serde::de::value::Error as Refused;

    use super::*;

    /// Every small amount, and amounts of each size up to the largest.
    fn amounts() -> impl Iterator<Item = i64> {
        let mut random = rand_pcg::Pcg64::seed_from_u64(42);
        let large = (0..100_000).map(move |n| random.random_range(0..=10_i64.pow(n % 16)));
        (0..20_000).chain(large).chain([MOST_CENTS as i64]).flat_map(|cents| [cents, -cents])
    }

    #[test]
    fn every_amount_survives_the_way_through_json() {
        for cents in amounts() {
            // As this server writes it, and as others may: with both decimals.
            for json in [serde_json::to_string(&Cents(cents)).unwrap(), Cents(cents).to_string()] {
                assert_eq!(serde_json::from_str::<Cents>(&json).unwrap(), Cents(cents), "{json}");
            }
        }
        assert_eq!(serde_json::to_string(&Cents(1999)).unwrap(), "19.99");
        for (json, cents) in [("-0.0", 0), ("20", 2_000), ("1999e-2", 1_999), ("19.9900000000000000", 1_999)]
        {
            assert_eq!(serde_json::from_str::<Cents>(json).unwrap(), Cents(cents), "{json}");
        }
    }

    #[test]
    fn the_doubles_beside_an_amount_are_none() {
        for cents in amounts() {
            let units = cents as f64 / 100.0;
            for beside in [units.next_down(), units.next_up()] {
                let read: Result<Cents, Refused> = Cents::deserialize(beside.into_deserializer());
                assert!(read.is_err(), "{beside:e}");
            }
        }
    }

    #[test]
    fn amounts_that_are_not_money_are_refused() {
        for bad in ["0.001", "19.999", "19.999999", "1e-7", "1e14", "1e300", "\"5\"", "null"] {
            assert!(serde_json::from_str::<Cents>(bad).is_err(), "{bad}");
        }
    }
}
