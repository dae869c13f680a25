//! Whole numbers as JSON Schema has them.

use std::fmt;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// Reads a whole number. JSON has one kind of number, so `2.0` and `2e0` are as whole as `2`, and the schema that clients
/// read says no more than that it is an integer; serde alone takes `2`.
///
/// # Errors
///
/// What is no number, has a fraction, or is beyond 32 bits.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    deserializer.deserialize_i32(Whole)
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = i32;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a whole number of 32 bits")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i32, E> {
        i32::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i32, E> {
        i32::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i32, E> {
        let whole = number as i32;
        // A cast cuts off the fraction and stops at the bounds, and then is another number.
        if f64::from(whole) == number {
            Ok(whole)
        } else {
            Err(E::invalid_value(Unexpected::Float(number), &self))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_schema_calls_an_integer_is_one() {
        let read = |json: &str| whole(&mut serde_json::Deserializer::from_str(json));
        for (json, number) in [
            ("2", 2),
            ("2.0", 2),
            ("-2.000", -2),
            ("2e0", 2),
            ("20e-1", 2),
            ("-0.0", 0),
            ("2147483647.0", i32::MAX),
        ] {
            assert_eq!(read(json).unwrap(), number, "{json}");
        }
        for json in [
            "1.5",
            "2147483648",
            "2147483648.0",
            "-2147483649",
            "1e300",
            "18446744073709551615",
            "\"2\"",
            "null",
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
