//! What the operating system knows of a process.

/// Processor time of a process so far, in seconds, of all its threads, also of those that have ended. `process` is its id
/// or `self`. None when there is no such process, or no `/proc`.
pub fn cpu_seconds(process: &str) -> Option<f64> {
    parse(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// Linux counts the times of `/proc/self/stat` in hundredths of a second, whatever its own clock does.
const TICKS_PER_SECOND: f64 = 100.0;

fn parse(stat: &str) -> Option<f64> {
    // The second field is the program's name in parentheses, which may hold spaces and parentheses itself.
    let (_, fields) = stat.rsplit_once(')')?;
    // User and system time are fields 14 and 15.
    let mut times = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_add_up() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 1 2 3 4 150 25 8 9 20 0 1 0 100 1000 10";
        assert_eq!(parse(stat), Some(1.75));
        assert_eq!(parse(""), None);
        assert_eq!(parse("42 (a) S 1"), None);
    }
}
