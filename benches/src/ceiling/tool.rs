//! Other people's programs: finding them, running them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;

/// The programs that are looked for. All but pgbench may be given with `--tool`, and it too.
pub(super) const KNOWN: [&str; 4] = ["pgbench", "wrk", "oha", "k6"];

/// What a tool may take longer than the time that it was told to measure.
const SLACK: Duration = Duration::from_secs(30);

/// `NAME=PATH` of `--tool`.
#[derive(Debug, Clone)]
pub(super) struct Named {
    name: &'static str,
    path: PathBuf,
}

/// Reads `NAME=PATH`.
pub(super) fn named(text: &str) -> Result<Named, String> {
    let (name, path) = text.split_once('=').ok_or("write it as NAME=PATH, such as k6=./k6")?;
    let name = KNOWN
        .into_iter()
        .find(|known| *known == name)
        .ok_or_else(|| format!("'{name}' is none of the tools, which are {}", KNOWN.join(", ")))?;
    // A program is started in a directory of its own choice, so its path must hold everywhere.
    match std::fs::canonicalize(path) {
        Ok(path) if path.is_file() => Ok(Named { name, path }),
        Ok(_) => Err(format!("{path} is not a file")),
        Err(error) => Err(format!("{path}: {error}")),
    }
}

/// Where programs are.
#[derive(Debug)]
pub(super) struct Tools {
    named: Vec<Named>,
}

impl Tools {
    pub(super) fn new(named: Vec<Named>) -> Self {
        Self { named }
    }

    /// The program called `name`: the one given, else the one in `preferred`, else the first in PATH.
    pub(super) fn find(&self, name: &str, preferred: Option<&Path>) -> Option<PathBuf> {
        let given = self.named.iter().rev().find(|named| named.name == name).map(|named| named.path.clone());
        let search_path = std::env::var_os("PATH").unwrap_or_default();
        given.or_else(|| {
            let dirs = preferred.map(Path::to_path_buf).into_iter();
            dirs.chain(std::env::split_paths(&search_path))
                .map(|dir| dir.join(name))
                .find(|path| path.is_file())
        })
    }
}

/// What a program printed.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// A program that ends when it is dropped, and that Ctrl-C does not reach: whoever started it ends it.
pub(super) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.kill_on_drop(true).process_group(0);
    command
}

/// Runs a program that was told to measure for `duration` to its end.
pub(super) async fn output(mut command: Command, duration: Duration) -> anyhow::Result<Output> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let running = command.stdin(Stdio::null()).output();
    let limit = duration + SLACK;
    let output = tokio::time::timeout(limit, running)
        .await
        .with_context(|| format!("{program} did not end within {} s", limit.as_secs()))?
        .with_context(|| format!("could not run {program}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        let said = if stderr.trim().is_empty() { &stdout } else { &stderr };
        let lines: Vec<&str> = said.lines().collect();
        bail!(
            "{program} failed with {}: {}",
            output.status,
            lines[lines.len().saturating_sub(5)..].join("\n")
        );
    }
    Ok(Output { stdout, stderr })
}

/// `text` as the number that it should be in the output of `tool`.
pub(super) fn number(tool: &str, what: &str, text: &str) -> anyhow::Result<f64> {
    text.trim().parse().with_context(|| format!("{tool} says '{text}' where {what} should be a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_named_with_the_path_of_a_file() {
        let program = std::env::current_exe().unwrap();
        let found = named(&format!("k6={}", program.display())).unwrap();
        assert_eq!(Tools::new(vec![found]).find("k6", None), Some(program.canonicalize().unwrap()));
        for (text, complaint) in [
            ("k6", "NAME=PATH"),
            ("curl=./curl", "none of the tools, which are pgbench, wrk, oha, k6"),
            ("wrk=/no/such/wrk", "/no/such/wrk: No such file"),
            ("wrk=.", ". is not a file"),
        ] {
            let error = named(text).unwrap_err();
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }

    #[test]
    fn a_tool_beside_the_server_comes_before_the_one_in_path() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("sh"), "").unwrap();
        let tools = Tools::new(Vec::new());
        assert_eq!(tools.find("sh", Some(dir.path())), Some(dir.path().join("sh")));
        assert!(tools.find("sh", None).is_some_and(|path| !path.starts_with(dir.path())));
        assert_eq!(tools.find("no-such-tool", Some(dir.path())), None);
    }

    #[tokio::test]
    async fn a_tool_that_fails_is_named_with_its_last_words() {
        let mut shell = command("sh");
        shell.args(["-c", "echo out of luck >&2; exit 3"]);
        let error = output(shell, Duration::ZERO).await.unwrap_err().to_string();
        assert!(error.contains("sh failed") && error.contains("out of luck"), "{error}");
        let error = output(command("/no/such/program"), Duration::ZERO).await.unwrap_err();
        assert!(error.to_string().contains("could not run /no/such/program"), "{error}");
    }
}
