//! Keeping goose's words out of standard output.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;

/// While goose starts, it prints how many users it launched to stdout, where results may go. Until [`end`](Self::end), some
/// milliseconds later, what is printed to stdout is held back; then all but goose's line is printed.
pub(super) struct Silence(Option<HeldBack>);

struct HeldBack {
    stdout: OwnedFd,
    printed: File,
}

impl Silence {
    /// Holds back what is printed from now on. Where the system does not let it, goose is heard.
    pub(super) fn begin() -> Self {
        let hold_back = || -> io::Result<HeldBack> {
            // What was printed before must not end up on goose's line.
            io::stdout().flush()?;
            let stdout = rustix::io::dup(io::stdout())?;
            let printed = unbounded()?;
            rustix::stdio::dup2_stdout(&printed)?;
            Ok(HeldBack { stdout, printed })
        };
        Self(hold_back().ok())
    }

    /// Prints what was held back.
    pub(super) fn end(&mut self) {
        let Some(HeldBack { stdout, mut printed }) = self.0.take() else { return };
        let _ = io::stdout().flush();
        // Fails only for a descriptor that is not open.
        if rustix::stdio::dup2_stdout(&stdout).is_err() {
            return;
        }
        let mut bytes = Vec::new();
        let _ = printed.rewind().and_then(|()| printed.read_to_end(&mut bytes));
        for line in bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_gooses(line)) {
            // A reader who has left is no reason to end the load.
            let _ = io::stdout().write_all(line);
        }
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        self.end();
    }
}

/// A file that takes whatever is written and never lets the writer wait, as a full pipe would, which nobody reads before
/// [`Silence::end`]. In memory, because a disk can be full.
#[cfg(target_os = "linux")]
fn unbounded() -> io::Result<File> {
    Ok(rustix::fs::memfd_create("held back from standard output", rustix::fs::MemfdFlags::CLOEXEC)?.into())
}

/// Likewise, on a disk where the system has no files in memory.
#[cfg(not(target_os = "linux"))]
fn unbounded() -> io::Result<File> {
    tempfile::tempfile()
}

fn is_gooses(line: &[u8]) -> bool {
    let number = line.strip_suffix(b" users launched.\n").unwrap_or_default();
    !number.is_empty() && number.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::fs::{OFlags, fcntl_setfl};

    use super::*;

    /// More than any pipe holds.
    const LINES: usize = 100_000;

    /// Set in the process that prints, so that all others keep their standard output.
    const PRINTS: &str = "STAMPEDE_TEST_PRINTS";

    #[test]
    fn a_writer_is_never_held_up_and_all_but_gooses_line_comes_out_in_order() {
        if std::env::var_os(PRINTS).is_some() {
            return print();
        }
        let name =
            "load::silence::tests::a_writer_is_never_held_up_and_all_but_gooses_line_comes_out_in_order";
        let mut printing = Command::new(std::env::current_exe().unwrap());
        let output = printing.args(["--exact", name]).env(PRINTS, "").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let held_back: Vec<String> = (0..LINES).map(|line| format!("line {line}")).collect();
        let expected = format!("before\n{}\n12 users launched. Really\nafter\n", held_back.join("\n"));
        assert!(said.contains(&expected), "{} bytes", said.len());
        assert!(!said.contains("users launched.\n"));
    }

    fn print() {
        let mut stdout = io::stdout();
        // The line is not over when the silence begins.
        stdout.write_all(b"\nbef").unwrap();
        let mut silence = Silence::begin();
        // Who would have to wait gets an error instead.
        fcntl_setfl(&stdout, OFlags::NONBLOCK).unwrap();
        stdout.write_all(b"ore\n400 users launched.\n").unwrap();
        for line in 0..LINES {
            writeln!(stdout, "line {line}").unwrap();
        }
        stdout.write_all(b"12 users launched. Really\n").unwrap();
        silence.end();
        stdout.write_all(b"after\n").unwrap();
    }
}
