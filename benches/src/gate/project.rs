//! The two sides of a comparison: where they come from, and their executables.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use loadtests::hint::Hinted;
use object::{Object, ObjectSection, SectionKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::criterion::{Interrupted, finish, was_interrupted};
use crate::failure::Usage;

/// Which benchmarks of a project are built.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
pub struct Selection {
    /// Only this bench target, as `cargo bench --bench`; can be given more than once
    #[arg(long = "bench", value_name = "NAME")]
    pub targets: Vec<String>,

    /// Only this package of a workspace; can be given more than once
    #[arg(long = "package", short, value_name = "NAME")]
    pub packages: Vec<String>,

    /// Further arguments for cargo when it builds, for example `--features fast`
    #[arg(last = true, value_name = "CARGO_ARGS")]
    pub cargo: Vec<String>,
}

impl Selection {
    /// Without the packages and bench targets that a project does not have, of which cargo would make an error: what one
    /// side alone has was added or is missing. `None` when nothing is left.
    fn of_project(&self, benches: &[(String, String)]) -> Option<Selection> {
        let chosen = |names: &[String], name: &String| names.is_empty() || names.contains(name);
        let present: Vec<_> = (benches.iter())
            .filter(|(package, target)| chosen(&self.packages, package) && chosen(&self.targets, target))
            .collect();
        let restricted = |names: &[String], has: &dyn Fn(&String) -> bool| -> Vec<String> {
            names.iter().filter(|name| has(name)).cloned().collect()
        };
        (!present.is_empty()).then(|| Selection {
            targets: restricted(&self.targets, &|name| present.iter().any(|(_, target)| target == name)),
            packages: restricted(&self.packages, &|name| present.iter().any(|(package, _)| package == name)),
            cargo: self.cargo.clone(),
        })
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        // The pattern leaves out libraries and programs, whose test harness is not criterion.
        let every = ["*".to_owned()];
        let targets = if self.targets.is_empty() { &every[..] } else { &self.targets };
        for target in targets {
            arguments.extend(["--bench".to_owned(), target.clone()]);
        }
        if self.packages.is_empty() {
            arguments.push("--workspace".into());
        }
        for package in &self.packages {
            arguments.extend(["--package".to_owned(), package.clone()]);
        }
        arguments.extend_from_slice(&self.cargo);
        arguments
    }
}

/// A cargo package or workspace on disk.
#[derive(Debug)]
pub struct Project {
    directory: PathBuf,
    /// Where cargo puts what it builds.
    pub target_directory: PathBuf,
    /// Name and root of each package, by cargo's id.
    packages: HashMap<String, (String, PathBuf)>,
    /// Package and name of each bench target.
    benches: Vec<(String, String)>,
}

/// A bench target that was built.
#[derive(Debug, Clone)]
pub struct Built {
    /// The package's name.
    pub package: String,
    /// The target's name.
    pub target: String,
    /// The program.
    pub executable: PathBuf,
    /// The package's root.
    pub directory: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

/// What is used of cargo's messages.
#[derive(Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Project {
    /// Asks cargo about the project in a directory. `target_directory` overrides where it builds.
    pub fn open(directory: &Path, target_directory: Option<&Path>) -> anyhow::Result<Self> {
        let directory = directory.canonicalize().map_err(|error| {
            Usage::new(
                format!("could not open {}: {error}", directory.display()),
                "name the directory of a Cargo.toml",
            )
        })?;
        ensure!(
            directory.join("Cargo.toml").exists(),
            Usage::new(
                format!("{} has no Cargo.toml", directory.display()),
                "name the root of a package or of a workspace"
            )
        );
        let mut command = cargo(&directory);
        let output = finish(command.args(["metadata", "--no-deps", "--format-version", "1"]))?;
        let metadata: Metadata =
            serde_json::from_slice(&output.stdout).context("could not understand cargo metadata")?;
        let benches = (metadata.packages.iter())
            .flat_map(|package| package.targets.iter().map(|target| (package.name.clone(), target)))
            .filter(|(_, target)| target.kind == ["bench"])
            .map(|(package, target)| (package, target.name.clone()));
        let benches = benches.collect();
        let packages = metadata.packages.into_iter().filter_map(|package| {
            let root = package.manifest_path.parent()?.to_owned();
            Some((package.id, (package.name, root)))
        });
        Ok(Project {
            target_directory: target_directory.map_or(metadata.target_directory, Path::to_owned),
            packages: packages.collect(),
            benches,
            directory,
        })
    }

    /// The compiler that builds it: the version that it tells here, where a toolchain file may choose it.
    pub fn compiler(&self) -> anyhow::Result<String> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = finish(Command::new(rustc).arg("-vV").current_dir(&self.directory))?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
    }

    /// Builds the bench targets as `cargo bench` does, and says where they are. Cargo's words go to standard error.
    pub fn build(&self, selection: &Selection) -> anyhow::Result<Vec<Built>> {
        let Some(selection) = selection.of_project(&self.benches) else {
            return Ok(Vec::new());
        };
        let mut arguments = vec!["bench".to_owned(), "--no-run".into()];
        arguments.extend(selection.arguments());
        self.cargo_build(arguments)
    }

    /// Links one bench target again with its functions in another order. The result replaces the executable.
    ///
    /// Only the linker is told, so nothing but the last step is repeated; the linker is rustc's own on Linux.
    pub fn relink(&self, built: &Built, selection: &Selection, seed: u64) -> anyhow::Result<PathBuf> {
        let shuffle = format!("-Clink-arg=-Wl,--shuffle-sections=.text*={}", seed % 1_000_000 + 1);
        let mut arguments: Vec<String> =
            ["rustc", "--profile", "bench", "--package", &built.package, "--bench", &built.target]
                .map(str::to_owned)
                .into();
        arguments.extend_from_slice(&selection.cargo);
        arguments.extend(["--".to_owned(), shuffle]);
        let again = self.cargo_build(arguments)?;
        let again = again.into_iter().find(|other| other.target == built.target);
        Ok(again.context("cargo linked nothing")?.executable)
    }

    fn cargo_build(&self, mut arguments: Vec<String>) -> anyhow::Result<Vec<Built>> {
        let format = ["--message-format".to_owned(), "json-render-diagnostics".into()];
        arguments.splice(1..1, format);
        let output = cargo(&self.directory)
            .args(&arguments)
            .env("CARGO_TARGET_DIR", &self.target_directory)
            .stderr(Stdio::inherit())
            .output()
            .context("could not start cargo")?;
        if was_interrupted(output.status) {
            return Err(Interrupted("cargo".into()).into());
        }
        ensure!(
            output.status.success(),
            Hinted::new(
                format!("{} does not build", self.directory.display()),
                format!("cargo said why above; it was: cargo {}", arguments.join(" "))
            )
        );
        let messages = String::from_utf8_lossy(&output.stdout);
        let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
        Ok(messages.filter_map(|message| self.built(message)).collect())
    }

    fn built(&self, message: Message) -> Option<Built> {
        let target = message.target?;
        let is_bench = message.reason == "compiler-artifact" && target.kind == ["bench"];
        let (package, directory) = self.packages.get(&message.package_id?)?.clone();
        is_bench.then_some(Built { package, target: target.name, executable: message.executable?, directory })
    }
}

fn cargo(directory: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(directory).stdin(Stdio::null());
    command
}

fn git(directory: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = finish(Command::new("git").arg("-C").arg(directory).args(arguments))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What a directory holds, for those who read the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The commit that is checked out, where it is a git work tree.
    pub commit: Option<String>,
    /// Tracked files differ from the commit, and it is the files that are measured.
    pub dirty: bool,
}

impl Source {
    /// Of a directory.
    pub fn of(directory: &Path) -> Self {
        let dirty = git(directory, &["status", "--porcelain", "--untracked-files=no", "."])
            .is_ok_and(|changes| !changes.is_empty());
        Source { commit: git(directory, &["rev-parse", "HEAD"]).ok(), dirty }
    }

    /// As it is shown: a short commit, and whether it was changed.
    pub fn name(&self) -> String {
        let commit = self.commit.as_deref().map_or("no commit", |commit| commit.get(..12).unwrap_or(commit));
        if self.dirty { format!("{commit} with uncommitted changes") } else { commit.to_owned() }
    }
}

/// A revision checked out beside the work tree, removed from git's list and from the disk when dropped.
#[derive(Debug)]
pub struct Checkout {
    repository: PathBuf,
    path: PathBuf,
    /// The project's directory in it.
    pub project: PathBuf,
}

impl Checkout {
    /// Checks out `revision` of the repository that `head` is in, into `path`.
    pub fn new(head: &Path, revision: &str, path: &Path) -> anyhow::Result<Self> {
        let prefix = git(head, &["rev-parse", "--show-prefix"]).map_err(|_| {
            Usage::new(
                format!("{} is not in a git work tree, so it has no revision {revision}", head.display()),
                "--base-dir compares with another directory",
            )
        })?;
        // What begins with a dash would be an option to git.
        let commit = git(head, &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{commit}}")])
            .map_err(|_| {
                Usage::new(
                    format!("unknown revision {revision}"),
                    "name a commit, a tag or a branch that `git log` finds; a shallow clone may have to fetch it first",
                )
            })?;
        let checkout =
            Checkout { repository: head.to_owned(), path: path.to_owned(), project: path.join(prefix) };
        // What an earlier run that was killed left.
        checkout.remove();
        std::fs::create_dir_all(path.parent().unwrap_or(path))
            .with_context(|| format!("could not make a directory for {}", path.display()))?;
        let text = path.to_string_lossy();
        git(head, &["worktree", "add", "--detach", "--force", &text, &commit])
            .with_context(|| format!("could not check out {revision}"))?;
        Ok(checkout)
    }

    fn remove(&self) {
        let text = self.path.to_string_lossy();
        // Neither can matter to the numbers: what is left over is removed by the next run.
        let _ = git(&self.repository, &["worktree", "remove", "--force", &text]);
        let _ = std::fs::remove_dir_all(&self.path);
        let _ = git(&self.repository, &["worktree", "prune"]);
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A digest of what of a program is loaded when it runs, in hexadecimal.
///
/// Debug information names the directory that it was built in, so two builds of one commit are seldom equal byte for
/// byte, and neither are their build ids, which digest it. A file that is no executable is taken whole.
pub fn loaded_digest(path: &Path) -> anyhow::Result<String> {
    let data = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    let mut digest = Sha256::new();
    match object::File::parse(data.as_slice()) {
        Ok(file) => {
            let is_loaded = |kind| {
                // ELF's debug information is among "other"; what is loaded has a kind of its own.
                use SectionKind::{Debug, DebugString, Metadata, Note, Other, OtherString};
                !matches!(kind, Debug | DebugString | Metadata | Note | Other | OtherString)
            };
            for section in file.sections().filter(|section| is_loaded(section.kind())) {
                digest.update(section.address().to_le_bytes());
                digest.update(section.size().to_le_bytes());
                digest.update(section.data().with_context(|| format!("{} is cut short", path.display()))?);
            }
        }
        Err(_) => digest.update(&data),
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This program with the middle byte of a section changed.
    fn changed(section: &str) -> tempfile::NamedTempFile {
        let mut data = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let (offset, size) = {
            let file = object::File::parse(data.as_slice()).unwrap();
            file.section_by_name(section).unwrap().file_range().unwrap()
        };
        data[(offset + size / 2) as usize] ^= 0xff;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), data).unwrap();
        file
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn programs_that_differ_in_debug_information_alone_are_equal() {
        let this = loaded_digest(&std::env::current_exe().unwrap()).unwrap();
        for section in [".debug_line", ".strtab"] {
            assert_eq!(this, loaded_digest(changed(section).path()).unwrap(), "{section}");
        }
        for section in [".text", ".rodata"] {
            assert_ne!(this, loaded_digest(changed(section).path()).unwrap(), "{section}");
        }
    }

    #[test]
    fn a_program_that_is_a_script_is_compared_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let digest = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            loaded_digest(file.path()).unwrap()
        };
        assert_ne!(digest("#!/bin/sh"), digest("#!/bin/bash"));
    }
}
