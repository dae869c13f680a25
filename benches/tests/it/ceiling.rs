//! `ceiling` as a user meets it. It is quick here, so nothing is said of its numbers but that there are some.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Far longer than it takes for a process to be gone.
const DEADLINE: Duration = Duration::from_secs(30);

fn skip(name: &str, why: &str) {
    assert!(
        std::env::var("STAMPEDE_REQUIRE").as_deref() != Ok("all"),
        "{name} could not run, and STAMPEDE_REQUIRE=all: {why}"
    );
    #[expect(
        clippy::explicit_write,
        reason = "the test harness hides what `eprintln!` says in a test that passes"
    )]
    writeln!(std::io::stderr(), "SKIPPED {name}: {why}").unwrap();
}

fn ceiling(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_benches"));
    command.args(["ceiling", "--quick"]).args(arguments).env_remove("DATABASE_URL").stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn measured(output: &Output, out: &Path) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("Goals") && said.contains("Too quick to be believed"), "{said}");
    let markdown = std::fs::read_to_string(out.join("ceiling.md")).unwrap();
    assert!(markdown.starts_with("## Ceiling") && markdown.contains("\n| "), "{markdown}");
    serde_json::from_str(&std::fs::read_to_string(out.join("ceiling.json")).unwrap()).unwrap()
}

fn subjects(runs: &Value) -> Vec<&str> {
    runs.as_array().unwrap().iter().map(|run| run["subject"].as_str().unwrap()).collect()
}

#[test]
fn the_checkout_is_measured_in_process_over_http_and_as_a_pgbench_script() {
    let out = tempfile::tempdir().unwrap();
    let output = ceiling(&["--only", "checkout", "--out", out.path().to_str().unwrap()]).output().unwrap();
    let json = measured(&output, out.path());
    let checkout = &json["checkout"];
    assert!(
        checkout["runs"].as_array().unwrap().iter().all(|run| run["rate"].as_f64() > Some(0.0)),
        "{checkout}"
    );
    assert_eq!(checkout["statements"].as_array().unwrap().len(), 2, "{checkout}");
    if let Some(skipped) = checkout["skipped"].get(0) {
        assert_eq!(subjects(&checkout["runs"]), ["in process", "over HTTP", "over HTTP", "in process"]);
        return skip("pgbench in the ceiling", &skipped.to_string());
    }
    let there = ["in process", "over HTTP", "pgbench"];
    assert_eq!(subjects(&checkout["runs"]), [there, [there[2], there[1], there[0]]].concat());
    assert!(json["goals"][0]["ratio"]["median"].as_f64() > Some(0.0), "{json}");
}

/// PATH is empty, so that the tools are those which are given, and the others are missing.
#[test]
fn generators_that_are_there_are_measured_and_the_others_named() {
    let out = tempfile::tempdir().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find = |name: &str| -> Option<PathBuf> {
        std::env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file())
    };
    let mut command = ceiling(&["--only", "generator", "--out", out.path().to_str().unwrap()]);
    command.env("PATH", "");
    let mut there = vec!["stampede", "goose"];
    for (name, leave_out) in [("wrk", false), ("oha", false), ("k6", true)] {
        match find(name) {
            Some(program) if !leave_out => {
                command.args(["--tool", &format!("{name}={}", program.display())]);
                there.push(name);
            }
            // The command names what is missing; one of the others is enough to see that they are measured.
            None if name == "wrk" => skip("wrk in the ceiling", "it is not installed"),
            _ => {}
        }
    }
    let json = measured(&command.output().unwrap(), out.path());
    let generator = &json["generator"];
    let backwards: Vec<&str> = there.iter().rev().copied().collect();
    assert_eq!(subjects(&generator["closed"]), [there.clone(), backwards].concat());
    let skipped: Vec<&str> = generator["skipped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|skipped| skipped["tool"].as_str().unwrap())
        .collect();
    assert!(skipped.contains(&"k6"), "{skipped:?}");
    assert!(
        generator["highest"].as_array().unwrap().iter().any(|highest| highest["tool"] == "stampede"),
        "{generator}"
    );
}

#[test]
fn bad_input_is_named_with_its_remedy_before_anything_is_measured() {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("file");
    std::fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, code, complaint) in [
        (&["--rounds", "0"][..], 2, "0 is not in 1..=100"),
        (&["--only", "everything"], 2, "checkout, generator"),
        (&["--tool", "curl=curl"], 2, "pgbench, wrk, oha, k6"),
        (&["--tool", "k6=/no/such/file"], 2, "No such file"),
        (&["--out", file], 1, "hint: choose another directory with --out"),
    ] {
        let output = ceiling(arguments).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(complaint), "{arguments:?}: {said}");
    }
}

#[test]
fn a_pgbench_that_fails_is_an_error_with_its_own_words() {
    let out = tempfile::tempdir().unwrap();
    let broken = out.path().join("pgbench");
    std::fs::write(&broken, "#!/bin/sh\necho the bench is broken >&2; exit 1\n").unwrap();
    let made = Command::new("chmod").arg("+x").arg(&broken).status().unwrap();
    assert!(made.success());
    let tool = format!("pgbench={}", broken.display());
    let output = ceiling(&["--only", "checkout", "--tool", &tool, "--out", out.path().to_str().unwrap()])
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the bench is broken"), "{said}");
    assert!(!out.path().join("ceiling.json").exists());
}

#[test]
fn ctrl_c_ends_it_and_whatever_it_started() {
    let out = tempfile::tempdir().unwrap();
    let mut child = ceiling(&["--rounds", "100", "--out", out.path().to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    // Then the database server is up, and the first measurement begins.
    let started = said.by_ref().map_while(Result::ok).find(|line| line.starts_with("checkout: "));
    assert!(started.is_some());
    let offspring = offspring(child.id());
    assert!(!offspring.is_empty(), "the database server at least");
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let rest: Vec<String> = said.map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(!out.path().join("ceiling.json").exists());

    let since = Instant::now();
    for process in offspring {
        while Path::new(&format!("/proc/{process}")).exists() {
            assert!(since.elapsed() < DEADLINE, "process {process} is still there");
            std::thread::yield_now();
        }
    }
}

/// The children of a process, and theirs.
fn offspring(ancestor: u32) -> Vec<u32> {
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(&process) = found.get(next) {
        let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
        found.extend(children.unwrap_or_default().split_whitespace().map(|id| id.parse::<u32>().unwrap()));
        next += 1;
    }
    found.split_off(1)
}
