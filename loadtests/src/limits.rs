//! Whether the system lets this process do what a run needs. What is refused in the middle of a load would look like the
//! server's fault, or end in somebody else's panic.

use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::compare;
use crate::hint::Hinted;

/// Open files that a load may need: a connection for each user, and some for everything else.
const FILES: u64 = compare::USERS as u64 + 100;

/// More is not asked for.
const MOST_FILES: u64 = 65_536;

/// Threads beside an async runtime's workers: the bar, the signals, the pacer, work that blocks.
const BESIDE_WORKERS: usize = 6;

/// Processes of PostgreSQL that are there whoever uses it, and the shells that watch over it.
const POSTGRES: usize = 20;

/// Connections of a server under test, each of which is a process of PostgreSQL.
const CONNECTIONS: usize = 14;

/// Threads that add latency to one connection.
const RELAYING: usize = 3;

/// Bytes.
const FULL_BELOW: u64 = 1 << 20;

/// Raises the limit of open files as far as it goes, for the load and for the servers, which inherit it. Connections that
/// this process could not open would look like those that a server refused.
pub fn enough_files() -> Result<(), Hinted> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(MOST_FILES, |maximum| maximum.min(MOST_FILES));
    let most = match limit.current {
        Some(current) if current < wanted => {
            let raised = Rlimit { current: Some(wanted), ..limit };
            setrlimit(Resource::Nofile, raised).map_or(current, |()| wanted)
        }
        Some(current) => current,
        None => return Ok(()),
    };
    if most < FILES {
        return Err(Hinted::new(
            format!("this process may open {most} files, and up to {FILES} are needed"),
            format!("raise the limit of open files, such as with: ulimit -n {FILES}"),
        ));
    }
    Ok(())
}

/// Threads of one process with an async runtime.
pub fn threads_of_one() -> usize {
    thread::available_parallelism().map_or(1, usize::from) + BESIDE_WORKERS
}

/// Threads and processes of PostgreSQL and of this many servers on it, with latency between them or without.
pub fn threads_of_lab(servers: usize, db_rtt: Duration) -> usize {
    let for_one = if db_rtt.is_zero() { 1 } else { 1 + RELAYING };
    POSTGRES + servers * (2 * threads_of_one() + CONNECTIONS * for_one)
}

/// Whether so many threads, or processes, can be started: by starting as many, because what counts against the limit is all
/// that the user runs, and limits of containers count as well. tokio panics when it gets none.
pub fn enough_threads(needed: usize) -> Result<(), Hinted> {
    let gate = Mutex::new(());
    let refused = thread::scope(|scope| {
        let _closed = gate.lock();
        (0..needed).find_map(|started| {
            let waits = || drop(gate.lock());
            let thread = thread::Builder::new().stack_size(64 * 1024).spawn_scoped(scope, waits);
            thread.err().map(|error| (started, error))
        })
    });
    match refused {
        None => Ok(()),
        Some((started, error)) => Err(Hinted::new(
            format!("{needed} more threads may be needed, and {started} can be started: {error}"),
            "end other programs of this user, or raise the limit, such as with: ulimit -u 4096, or docker run --pids-limit 4096",
        )),
    }
}

/// The first of these directories whose disk is full, or as good as: a database server ends before the last byte is taken.
pub fn full<'a>(dirs: impl IntoIterator<Item = &'a Path>) -> Option<&'a Path> {
    dirs.into_iter().find(|dir| {
        rustix::fs::statvfs(*dir).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < FULL_BELOW)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_can_be_started_here() {
        enough_threads(threads_of_one()).unwrap();
    }
}
