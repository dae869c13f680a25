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
        // The shortest decimal that reads back as this double is the amount itself, up to 90 trillion units.
        serializer.serialize_f64(self.0 as f64 / 100.0)
    }
}

impl<'de> Deserialize<'de> for Cents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let units = f64::deserialize(deserializer)?;
        let cents = (units * 100.0).round();
        if !(-9e15..=9e15).contains(&cents) {
            return Err(D::Error::custom(format!("{units} is too large an amount of money")));
        }
        if (units * 100.0 - cents).abs() > 1e-3 {
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
    use super::*;

    #[test]
    fn every_amount_survives_the_way_through_json() {
        for cents in (0..20_000).chain([99_999_999, 123_456_789_012_345]) {
            let json = serde_json::to_string(&Cents(cents)).unwrap();
            assert_eq!(serde_json::from_str::<Cents>(&json).unwrap(), Cents(cents), "{json}");
        }
        assert_eq!(serde_json::to_string(&Cents(1999)).unwrap(), "19.99");
    }

    #[test]
    fn amounts_that_are_not_money_are_refused() {
        for bad in ["0.001", "19.999", "1e300", "\"5\"", "null"] {
            assert!(serde_json::from_str::<Cents>(bad).is_err(), "{bad}");
        }
    }
}
