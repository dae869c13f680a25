//! A project whose benchmarks are scripts that speak criterion's command line and write its files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Cargo, as far as the gate talks to it.
const CARGO: &str = r#"#!/bin/sh
artifact() {
    printf '{"reason":"compiler-artifact","package_id":"demo","target":{"name":"%s","kind":["bench"]},"executable":"%s"}\n' \
        "$(cat target-name)" "$PWD/$1"
}
case "$1" in
metadata)
    printf '{"packages":[{"id":"demo","name":"benches","manifest_path":"%s/Cargo.toml","targets":[{"name":"%s","kind":["bench"]}]}],"target_directory":"%s/target"}' \
        "$PWD" "$(cat target-name)" "$PWD" ;;
bench)
    pwd >>"${0%/*}/built-in"
    if [ -e broken ]; then echo 'error[E0425]: cannot find value' >&2; exit 101; fi
    artifact speed ;;
rustc)
    if [ -e relinked ]; then artifact relinked; else echo 'error: unknown linker' >&2; exit 101; fi ;;
esac
"#;

const RUSTC: &str = "#!/bin/sh\nif [ -e compiler ]; then cat compiler; else echo 'rustc 1.95.0'; fi\n";

/// Valgrind, which finds the count in the program, for as many iterations as a short run has.
pub const VALGRIND: &str = r#"#!/bin/sh
if [ "$1" = --version ]; then echo valgrind-3.19.0; exit; fi
shift 2
if [ "$1" != true ]; then "$@" || exit; fi
count=$(sed -n 's/^# instructions //p' "$1" 2>/dev/null || true)
count=${count:-100}
case "$*" in *'--measurement-time 1 '*) count=$((count * 10)) ;; esac
echo "==1== Collected : $count" >&2
"#;

/// What a benchmark program does with one benchmark. `$id` and `$ns` are set; each process is off by less than 0.9 %,
/// below the floor of 1 %, so that verdicts do not depend on luck.
const WRITE: &str = r#"
mkdir -p "$CRITERION_HOME/$id/new"
iterations=1000
case "$*" in *'--measurement-time 1 '*) iterations=10000 ;; esac
time=$((ns * (1000 + $$ % 9) * iterations / 1000))
echo "{\"full_id\":\"$id\",\"directory_name\":\"$id\"}" >"$CRITERION_HOME/$id/new/benchmark.json"
echo "{\"sampling_mode\":\"Flat\",\"iters\":[$iterations.0,$iterations.0],\"times\":[$time.0,$time.0]}" >"$CRITERION_HOME/$id/new/sample.json"
"#;

/// A benchmark program with these ids and their nanoseconds. `extra` is script that runs last, for each process.
pub fn program(benchmarks: &[(&str, u32)], extra: &str) -> String {
    let table: String = benchmarks.iter().map(|(id, ns)| format!("{id}:{ns} ")).collect();
    format!(
        r#"#!/bin/sh
benchmarks='{table}'
case "$*" in *--list*)
    for one in $benchmarks; do echo "${{one%%:*}}: benchmark"; done
    exit ;;
esac
id=$3
for one in $benchmarks; do [ "${{one%%:*}}" != "$id" ] || ns=${{one##*:}}; done
{WRITE}
{extra}
"#
    )
}

/// A temporary directory with the tools, and a base and a head side by side.
pub struct Stage {
    directory: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Stage {
    /// Two sides with these benchmark programs.
    pub fn new(base: &str, head: &str) -> Self {
        let stage = Stage { directory: tempfile::tempdir().unwrap() };
        stage.side("base", base);
        stage.side("head", head);
        let tools = stage.path("tools");
        fs::create_dir(&tools).unwrap();
        fs::create_dir(stage.path("tmp")).unwrap();
        // Only these, so that a test without valgrind has none wherever it runs.
        let path = std::env::var_os("PATH").unwrap();
        for tool in ["sh", "cat", "git", "grep", "kill", "mkdir", "rm", "sed", "true", "wc"] {
            let found = std::env::split_paths(&path).map(|dir| dir.join(tool)).find(|file| file.exists());
            std::os::unix::fs::symlink(found.unwrap_or_else(|| panic!("no {tool}")), tools.join(tool))
                .unwrap();
        }
        stage.script("tools/cargo", CARGO);
        stage.script("tools/rustc", RUSTC);
        stage
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn script(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Writes a side's program, and the rest of the side where it is new.
    pub fn side(&self, name: &str, program: &str) {
        fs::create_dir_all(self.path(name)).unwrap();
        fs::write(self.path(&format!("{name}/Cargo.toml")), "").unwrap();
        fs::write(self.path(&format!("{name}/target-name")), "speed").unwrap();
        self.script(&format!("{name}/speed"), program);
    }

    /// Makes the head a repository whose only commit has what the head is now.
    pub fn commit_head(&self) {
        let git = |arguments: &[&str]| {
            let status = Command::new("git")
                .current_dir(self.path("head"))
                .args(["-c", "user.name=Test", "-c", "user.email=test@localhost"])
                .args(arguments)
                .status();
            assert!(status.unwrap().success(), "git {arguments:?}");
        };
        git(&["init", "--quiet"]);
        fs::write(self.path("head/.gitignore"), "/out\n/target\n").unwrap();
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "--no-gpg-sign", "--message", "base"]);
    }

    /// The command, run in the head's directory with these tools alone.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_benches"));
        self.surround(&mut command);
        command.args(arguments);
        command
    }

    /// Gives a command the stage's tools and directory.
    pub fn surround(&self, command: &mut Command) {
        command
            .current_dir(self.path("head"))
            .env("PATH", self.path("tools"))
            .env("CARGO", self.path("tools/cargo"))
            .env("RUSTC", self.path("tools/rustc"))
            .env("TMPDIR", self.path("tmp"))
            .env_remove("GITHUB_ACTIONS")
            .stdin(Stdio::null());
    }

    /// Compares the two directories.
    pub fn gate(&self, arguments: &[&str]) -> Said {
        let base = self.path("base");
        ended(self.command(&["gate", "--base-dir", base.to_str().unwrap(), "--out", "out"]).args(arguments))
    }

    /// What the last comparison left.
    pub fn report(&self) -> Value {
        let text = self.read("head/out/gate.json");
        serde_json::from_str(&text).unwrap()
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The verdict and its reason in the last report.
    pub fn decision(&self, id: &str) -> (String, String) {
        let report = self.report();
        let benchmarks = report["benchmarks"].as_array().unwrap();
        let found = benchmarks.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("no {id}"));
        let text = |field: &str| found["decision"][field].as_str().unwrap().to_owned();
        (text("verdict"), text("reason"))
    }
}

pub fn ended(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().expect("the command starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Appends a line with the benchmark's id to a file for each process: how many there were can be counted.
pub fn counting(file: &Path) -> String {
    format!("echo \"$id\" >>'{}'", file.display())
}
