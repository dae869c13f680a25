//! What the operating system knows of a process, and of the machine.

/// Processor time of a process so far, in seconds, of all its threads, also of those that have ended. `process` is its id
/// or `self`. None when there is no such process, or no `/proc`.
pub fn cpu_seconds(process: &str) -> Option<f64> {
    parse(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// Time of all processors so far, in seconds, that a virtual machine was ready to use and its host gave to others (steal).
/// None where there is no `/proc`.
pub fn stolen_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    // The first line adds the processors up: user, nice, system, idle, iowait, irq, softirq, steal.
    let stolen = stat.strip_prefix("cpu ")?.split_ascii_whitespace().nth(7)?.parse::<u64>().ok()?;
    Some(stolen as f64 / TICKS_PER_SECOND)
}

/// Linux counts the times of `/proc` in hundredths of a second, whatever its own clock does.
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
