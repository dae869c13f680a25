//! What the operating system knows of a process, and of the machine.

use std::collections::HashMap;

/// Processor time of a process so far, in seconds, of all its threads, also of those that have ended. `process` is its id
/// or `self`. None when there is no such process, or no `/proc`.
pub fn cpu_seconds(process: &str) -> Option<f64> {
    parse(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// Time of all processors so far, in seconds, that a virtual machine was ready to use and its host gave to others (steal).
/// None where there is no `/proc`.
pub fn stolen_seconds() -> Option<f64> {
    let [.., stolen] = machine()?;
    Some(stolen as f64 / TICKS_PER_SECOND)
}

/// Processor time so far, in seconds, of all processes but this one and those that it started, directly or not. Two looks tell
/// what others had of the machine meanwhile. None where there is no `/proc`.
pub fn others_seconds() -> Option<f64> {
    let [user, nice, system, ..] = machine()?;
    let mut processes = HashMap::new();
    for entry in std::fs::read_dir("/proc").ok()? {
        let Some(id) = entry.ok()?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process that has just ended has no file any more.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        processes.insert(id, family_member(&stat)?);
    }
    let own = family_ticks(&processes, std::process::id());
    Some((user + nice + system).saturating_sub(own) as f64 / TICKS_PER_SECOND)
}

/// A process's parent, and its ticks with those of its children that have ended.
fn family_member(stat: &str) -> Option<(u32, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // The state comes first; the parent is the next one. User and system time are fields 14 to 17 of the file.
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>()).sum::<Result<_, _>>();
    Some((fields.get(1)?.parse().ok()?, ticks.ok()?))
}

/// Ticks of a process and its descendants, where each process has a parent and ticks of its own.
fn family_ticks(processes: &HashMap<u32, (u32, u64)>, ancestor: u32) -> u64 {
    let descends = |id: u32| {
        let parents = std::iter::successors(Some(id), |id| processes.get(id).map(|(parent, _)| *parent));
        // A process may have ended between two looks, and its id been given to another: no line of parents is endless.
        parents.take(64).any(|id| id == ancestor)
    };
    processes.iter().filter(|(id, _)| descends(**id)).map(|(_, (_, ticks))| ticks).sum()
}

/// Ticks of all processors together: user, nice, system, idle, iowait, irq, softirq, steal.
fn machine() -> Option<[u64; 8]> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let fields = stat.strip_prefix("cpu ")?.split_ascii_whitespace().take(8).map(str::parse);
    fields.collect::<Result<Vec<u64>, _>>().ok()?.try_into().ok()
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
        assert_eq!(family_member(stat), Some((1, 192)));
    }

    #[test]
    fn a_family_is_a_process_and_all_that_descend_from_it() {
        let processes =
            [(1, (0, 1)), (10, (1, 2)), (11, (10, 4)), (12, (11, 8)), (20, (1, 16)), (30, (30, 32))];
        let processes = processes.into_iter().collect();
        assert_eq!(family_ticks(&processes, 10), 2 + 4 + 8);
        assert_eq!(family_ticks(&processes, 20), 16);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_process_does_is_not_put_down_to_others() {
        let busy =
            || machine().map(|[user, nice, system, ..]| (user + nice + system) as f64 / TICKS_PER_SECOND);
        let (before, others, own) =
            (busy().unwrap(), others_seconds().unwrap(), cpu_seconds("self").unwrap());
        while cpu_seconds("self").unwrap() < own + 0.5 {
            std::hint::spin_loop();
        }
        let (others, all) = (others_seconds().unwrap() - others, busy().unwrap() - before);
        assert!(others <= all - 0.4, "of {all} s others had {others} s, and this process 0.5 s");
    }
}
