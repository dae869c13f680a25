//! A server that runs, and the script that ends it when its owner is gone.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::home::{Run, STOP_DEADLINE};
use crate::process::last_lines;
use crate::{Error, POLL};

/// The pause between two looks at a server that should be running.
const LOOK: Duration = Duration::from_millis(100);

/// Run by `sh` beside each server, so that the server ends when its owner does, in whatever way.
const SUPERVISOR: &str = include_str!("supervisor.sh");

/// A running server. Dropping it ends the server soon after; [`Supervised::stop`] waits for it.
#[derive(Debug)]
pub struct Supervised {
    run: Run,
    supervisor: Mutex<Supervisor>,
}

#[derive(Debug)]
struct Supervisor {
    process: Child,
    /// The owner has killed the server, and is not to be told that it is gone.
    killed: bool,
}

impl Supervised {
    /// Starts the server whose command line this is, in the directory of `run`. What it prints is added to the run's log.
    ///
    /// # Errors
    ///
    /// [`Error::Program`] when there is no shell to start it with; the run is removed then.
    pub fn start(run: Run, command_line: &[OsString]) -> Result<Self, Error> {
        let process = spawn(&run, command_line)?;
        Ok(Self { run, supervisor: Mutex::new(Supervisor { process, killed: false }) })
    }

    /// The server's directory and log.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// How the supervisor has ended, and in most cases its server before it.
    pub fn ended(&self) -> Option<String> {
        self.supervisor().ended()
    }

    /// Resolves when the server has ended although nobody asked it to, with how it ended.
    pub async fn lost(&self) -> String {
        loop {
            if let Some(reason) = self.supervisor().lost()
                // It may be the supervisor alone that somebody killed.
                && self.run.server().is_none()
            {
                return reason;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The last `count` lines of the run's log that are not blank.
    pub fn last_words(&self, count: usize) -> String {
        last_lines(&fs::read_to_string(self.run.log()).unwrap_or_default(), count)
    }

    /// Kills the server, as a crash would, and returns when it is gone. Its files stay, for
    /// [`Supervised::start_again`].
    ///
    /// # Errors
    ///
    /// [`Error::Program`] when it is still there after some seconds.
    pub async fn kill(&self) -> Result<(), Error> {
        self.supervisor().killed = true;
        let deadline = Instant::now() + STOP_DEADLINE;
        loop {
            // Repeated, because one that has just been started may not have written its number yet.
            let server = self.run.server();
            if let Some(server) = server {
                let _ = kill_process(server, Signal::KILL);
            } else if self.ended().is_some() {
                self.run.set_supervised(false);
                return Ok(());
            }
            if Instant::now() > deadline {
                let reason = format!("the server is still there {} s later", STOP_DEADLINE.as_secs());
                return Err(self.run.failed("kill", reason));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Starts a server that has ended, on the files that it left.
    ///
    /// # Errors
    ///
    /// [`Error::Program`] when there is no shell to start it with.
    pub fn start_again(&self, command_line: &[OsString]) -> Result<(), Error> {
        let mut supervisor = self.supervisor();
        let process = spawn(&self.run, command_line)?;
        *supervisor = Supervisor { process, killed: false };
        Ok(())
    }

    /// Stops the server with `signal`, which lets it complete its files, and keeps these.
    pub async fn halt(self, signal: Signal) -> Run {
        if let Some(server) = self.run.server() {
            let _ = kill_process(server, signal);
        }
        self.supervisor_ended().await;
        self.run.set_supervised(false);
        self.run
    }

    /// Ends the server, and returns when it is gone and its files with it.
    pub async fn stop(self) {
        drop(self.supervisor().process.stdin.take());
        self.supervisor_ended().await;
        // There is something left to do if the supervisor was killed, or ended with its server.
        self.run.remove().await;
    }

    fn supervisor(&self) -> MutexGuard<'_, Supervisor> {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn supervisor_ended(&self) {
        let deadline = Instant::now() + STOP_DEADLINE;
        while self.ended().is_none() {
            if Instant::now() > deadline {
                let _ = self.supervisor().process.kill();
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Supervisor {
    fn ended(&mut self) -> Option<String> {
        let status = self.process.try_wait().ok().flatten()?;
        Some(match status.code() {
            // The shell's way to tell of a signal.
            Some(code @ 129..) => format!("signal {} ended it", code - 128),
            _ => format!("it ended with {status}"),
        })
    }

    fn lost(&mut self) -> Option<String> {
        if self.killed { None } else { self.ended() }
    }
}

fn spawn(run: &Run, command_line: &[OsString]) -> Result<Child, Error> {
    let failed = |error: io::Error| run.failed("/bin/sh", error.to_string());
    let kind = run.user.kind();
    let mut command = run.user.command("/bin/sh");
    command
        .args(["-c", SUPERVISOR, &format!("{}-{}", run.project.name(), kind.name)])
        .arg(&run.dir)
        .arg(run.lock_file())
        .arg(kind.stop.as_raw().to_string())
        .args(command_line);
    command.stdin(Stdio::piped()).stdout(run.lock.try_clone().map_err(failed)?).stderr(Stdio::null());
    // A process group of its own: Ctrl-C in the terminal is not for the server.
    command.process_group(0);
    let process = command.spawn().map_err(failed)?;
    run.set_supervised(true);
    Ok(process)
}
