//! Whose turn it is on a machine that generator, servers and database share.

/// As far ahead as the generator puts itself: its clock has to be right also when a server takes every processor with
/// hundreds of threads. It does little, so it takes little from them.
const AHEAD: i32 = -10;

/// Puts all threads of this process, and those that they start, ahead of the servers under test, which set a priority of
/// their own. Says whether that was allowed: it takes root, or the capability `CAP_SYS_NICE`.
#[cfg(target_os = "linux")]
pub fn go_ahead() -> bool {
    // Linux keeps a priority for each thread, and setting that of the process would move the first one alone.
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let ids = threads.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let moved = ids.filter_map(rustix::process::Pid::from_raw).map(|thread| {
        // A thread that has ended meanwhile needs no priority.
        !matches!(
            rustix::process::setpriority_process(Some(thread), AHEAD),
            Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM)
        )
    });
    // Each, also after one that may not be moved.
    moved.filter(|moved| !moved).count() == 0
}

/// Elsewhere it stays where it is.
#[cfg(not(target_os = "linux"))]
pub fn go_ahead() -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn every_thread_is_ahead_or_none_may_be() {
        let (running, ended) = std::sync::mpsc::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid()).unwrap();
            let _ = ended.recv();
        });
        let id = told.recv().unwrap();
        let allowed = super::go_ahead();
        let of_thread = rustix::process::getpriority_process(Some(id)).unwrap();
        drop(running);
        thread.join().unwrap();
        assert_eq!(of_thread == super::AHEAD, allowed, "{of_thread}");
    }
}
