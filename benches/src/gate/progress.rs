//! How far a long command is, and stopping it.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::criterion::Interrupted;

/// Whether Ctrl-C was pressed.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From here on Ctrl-C is remembered rather than the end of the process.
    pub fn install() -> anyhow::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&flag);
        ctrlc::set_handler(move || set.store(true, Ordering::SeqCst))
            .context("could not listen to Ctrl-C")?;
        Ok(Interrupt(flag))
    }

    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Whether to stop rather than use a result. The program that gave it may learn of Ctrl-C before this one does.
    pub fn ended<T>(&self, result: &anyhow::Result<T>) -> bool {
        self.is_set() || result.as_ref().is_err_and(|error| error.is::<Interrupted>())
    }
}

/// A bar with the time left on a terminal, a line a round elsewhere; both on standard error.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    terminal: bool,
    begun: Instant,
    what: &'static str,
}

impl Progress {
    /// For so many steps of one kind.
    pub fn new(steps: usize, what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
        let template = "{spinner} {msg} {wide_bar} {pos}/{len}, {eta} left";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress { bar, terminal: std::io::stderr().is_terminal(), begun: Instant::now(), what }
    }

    /// One step begins.
    pub fn advance(&self) {
        self.bar.inc(1);
    }

    /// A round is over.
    pub fn round(&self, done: usize, all: usize) {
        if !self.terminal {
            let left = self.begun.elapsed().as_secs_f64() / done as f64 * (all - done) as f64;
            // Not `eprintln!`, which panics where nobody reads any more.
            let _ = writeln!(
                std::io::stderr(),
                "{}: round {done} of {all}, {:.0} min left",
                self.what,
                (left / 60.0).ceil()
            );
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
