//! How numbers are written: three significant digits, the unit that suits, thousands apart.

use crate::results::IncidentMark;

/// Stands where there is nothing to say.
pub const ABSENT: &str = "–";

/// A duration given in microseconds: `812 µs`, `12.3 ms`, `1.05 s`.
pub fn micros(us: f64) -> String {
    if !us.is_finite() {
        return ABSENT.into();
    }
    let rounded = round(us, 3);
    if rounded.abs() < 1e3 {
        format!("{} µs", trim(&significant(us)))
    } else if rounded.abs() < 1e6 {
        format!("{} ms", significant(us / 1e3))
    } else {
        format!("{} s", significant(us / 1e6))
    }
}

/// A duration as the label of an axis: like [`micros`], without trailing zeros.
pub fn tick_micros(us: f64) -> String {
    let text = micros(us);
    match text.split_once(' ') {
        Some((number, unit)) => format!("{} {unit}", trim(number)),
        None => text,
    }
}

/// Something that went wrong on purpose: `server 1 is killed (1.2 to 1.9 s)`, `PostgreSQL is restarted (at 1.8 s)`.
pub fn incident(incident: &IncidentMark) -> String {
    let IncidentMark { what, from_s, to_s } = incident;
    let from = format!("{from_s:.1}");
    match to_s.map(|to| format!("{to:.1}")) {
        Some(to) if to == from => format!("{what} (at {from} s)"),
        Some(to) => format!("{what} ({from} to {to} s)"),
        None => format!("{what} (from {from} s)"),
    }
}

/// A duration given in seconds, as people say it: `48 s`, `3 min 20 s`.
pub fn wall_time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => micros(seconds * 1e6),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// A duration given in seconds, where only its size matters: `40 s`, `16 min`.
pub fn rough_time(seconds: f64) -> String {
    if seconds <= 90.0 {
        format!("{:.0} s", (seconds / 10.0).ceil() * 10.0)
    } else {
        format!("{:.0} min", (seconds / 60.0).ceil())
    }
}

/// A count: `12,345`.
pub fn count(n: u64) -> String {
    group(&n.to_string())
}

/// A number with up to three significant digits: `0.0213`, `1.5`, `12,345`.
pub fn number(value: f64) -> String {
    trim(&significant(value)).to_string()
}

/// How many times as large, with two digits: `0.12×`, `1×`, `38×`.
pub fn ratio(value: f64) -> String {
    if value.is_finite() { format!("{}×", number(round(value, 2))) } else { ABSENT.into() }
}

/// A part of a whole in percent: `3.4 %`.
pub fn percent(part: u64, whole: u64) -> String {
    match (part, whole) {
        (_, 0) => ABSENT.into(),
        (0, _) => "0 %".into(),
        _ => match part as f64 / whole as f64 * 100.0 {
            tiny if tiny < 0.1 => "< 0.1 %".into(),
            share => format!("{} %", trim(&format!("{share:.1}"))),
        },
    }
}

/// A rate per second: `212/s`.
pub fn rate(per_second: f64) -> String {
    if per_second.is_finite() { format!("{}/s", number(per_second)) } else { ABSENT.into() }
}

/// A figure with the unit that [`SignalValue`](crate::results::SignalValue) names.
pub fn quantity(value: f64, unit: &str) -> String {
    match unit {
        _ if !value.is_finite() => ABSENT.into(),
        "ms" => tick_micros(value * 1e3),
        "s" => tick_micros(value * 1e6),
        "" => ratio(value),
        many => format!("{} {}", number(value), if value == 1.0 { many.trim_end_matches('s') } else { many }),
    }
}

/// Three significant digits, trailing zeros kept so that columns line up.
fn significant(value: f64) -> String {
    if !value.is_finite() {
        return ABSENT.into();
    }
    let rounded = round(value, 3);
    if rounded == 0.0 {
        return "0".into();
    }
    let decimals = (2 - rounded.abs().log10().floor() as i32).clamp(0, 6) as usize;
    let text = if decimals == 0 { format!("{value:.0}") } else { format!("{rounded:.decimals$}") };
    group(&text)
}

/// The nearest number with so many significant digits.
fn round(value: f64, digits: usize) -> f64 {
    format!("{value:.*e}", digits - 1).parse().unwrap_or(value)
}

/// Without the zeros that end a fraction.
fn trim(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Commas between thousands.
fn group(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_unit_that_suits() {
        let cases = [
            (0.0, "0 µs"),
            (1.0, "1 µs"),
            (999.0, "999 µs"),
            (999.6, "1.00 ms"),
            (1_234.0, "1.23 ms"),
            (12_340.0, "12.3 ms"),
            (99_960.0, "100 ms"),
            (999_700.0, "1.00 s"),
            (1_050_000.0, "1.05 s"),
            (1_234_567_000.0, "1,235 s"),
            (f64::NAN, ABSENT),
        ];
        for (us, text) in cases {
            assert_eq!(micros(us), text, "{us} µs");
        }
    }

    #[test]
    fn axis_labels_have_no_trailing_zeros() {
        assert_eq!(tick_micros(10_000.0), "10 ms");
        assert_eq!(tick_micros(500.0), "500 µs");
        assert_eq!(tick_micros(2_000_000.0), "2 s");
    }

    #[test]
    fn numbers_keep_three_digits_and_group_thousands() {
        let cases = [
            (0.0, "0"),
            (0.02134, "0.0213"),
            (1.5, "1.5"),
            (100.0, "100"),
            (1_234_567.0, "1,234,567"),
            (-4_321.0, "-4,321"),
            (f64::INFINITY, ABSENT),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn ratios_keep_two_digits() {
        let cases = [(0.00166, "0.0017×"), (0.397, "0.4×"), (1.0, "1×"), (42.17, "42×"), (1_234.0, "1,200×")];
        for (value, text) in cases {
            assert_eq!(ratio(value), text);
        }
        assert_eq!(ratio(f64::INFINITY), ABSENT);
    }

    #[test]
    fn quantities_wear_their_unit() {
        assert_eq!(quantity(137.0, "units"), "137 units");
        assert_eq!(quantity(1.0, "statements"), "1 statement");
        assert_eq!(quantity(0.5, "ms"), "500 µs");
        assert_eq!(quantity(2.5, "s"), "2.5 s");
        assert_eq!(quantity(30.0, ""), "30×");
        assert_eq!(quantity(f64::NAN, "units"), ABSENT);
    }

    #[test]
    fn shares_of_nothing_are_absent_and_small_ones_are_not_zero() {
        assert_eq!(percent(0, 0), ABSENT);
        assert_eq!(percent(0, 10), "0 %");
        assert_eq!(percent(1, 100_000), "< 0.1 %");
        assert_eq!(percent(34, 1_000), "3.4 %");
        assert_eq!(percent(10, 10), "100 %");
    }

    #[test]
    fn wall_times_read_as_people_say_them() {
        assert_eq!(wall_time(48.2), "48.2 s");
        assert_eq!(wall_time(200.0), "3 min 20 s");
        assert_eq!(wall_time(7_260.0), "2 h 1 min");
    }

    #[test]
    fn rough_times_are_round_and_not_too_short() {
        assert_eq!(rough_time(3.0), "10 s");
        assert_eq!(rough_time(81.0), "90 s");
        assert_eq!(rough_time(91.0), "2 min");
        assert_eq!(rough_time(963.0), "17 min");
    }
}
