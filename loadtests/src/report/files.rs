//! The reports on disk.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::{fs, path, process};

use super::{Sources, html, junit, markdown};
use crate::results::Results;

/// Where the reports of a run are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// `results.json`: everything, for programs.
    pub results: PathBuf,
    /// `report.html`: everything, for people.
    pub html: PathBuf,
    /// `summary.md`: for a pull request.
    pub summary: PathBuf,
    /// `junit.xml`: for CI.
    pub junit: PathBuf,
}

/// The files of a run, each with words that no other program writes into a file of that name.
const REPORTS: [(&str, &str); 4] = [
    ("results.json", "\"stampede\": \""),
    ("report.html", "name=\"generator\" content=\"Stampede"),
    ("summary.md", "## Stampede: "),
    ("junit.xml", "<testsuites name=\"stampede\""),
];

/// The folder of the servers' logs, beside the reports.
pub const LOGS: &str = "logs";

/// Something in `dir` that says that it is no place for results: a file of a report's name that no run wrote, which would be
/// replaced, or, where no report is there at all, anything that no run wrote.
///
/// # Errors
/// A directory that cannot be looked into.
pub fn foreign(dir: &Path) -> io::Result<Option<PathBuf>> {
    let mut other = None;
    let mut reports = 0;
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match REPORTS.iter().find(|(report, _)| *report == name) {
            Some((_, words)) if fs::read_to_string(&path).is_ok_and(|text| text.contains(words)) => {
                reports += 1;
            }
            Some(_) => return Ok(Some(path)),
            // What a run leaves that had no report to write, or no time.
            None if is_logs(&path) || is_fresh(&name) => {}
            None => other = Some(path),
        }
    }
    Ok(other.filter(|_| reports == 0))
}

/// Whether this is a folder with nothing but the logs of servers under test.
fn is_logs(path: &Path) -> bool {
    let is_log = |name: &str| name.starts_with("server-") && name.ends_with(".log");
    path.ends_with(LOGS)
        && fs::read_dir(path).is_ok_and(|mut logs| {
            logs.all(|log| log.is_ok_and(|log| is_log(&log.file_name().to_string_lossy())))
        })
}

/// Writes all reports into `dir`, which is made where it is missing.
///
/// Each file appears whole or not at all, also when a reader looks while a run goes on. One that cannot be written does not
/// keep the others from it: of a disk with little room, they get as much as there is.
///
/// # Errors
/// That of the first that could not be written, with its path.
pub fn write(results: &Results, sources: Sources, dir: &Path) -> io::Result<Paths> {
    let written = write_json(results, dir);
    // The large one comes last.
    let summary = replace(dir.join("summary.md"), &markdown(results));
    let junit = (junit(results)
        .map_err(|error| about(&dir.join("junit.xml"), "write", io::Error::other(error))))
    .and_then(|text| replace(dir.join("junit.xml"), &text));
    let html = replace(dir.join("report.html"), &html(results, sources));
    Ok(Paths { results: written?, html: html?, summary: summary?, junit: junit? })
}

/// Writes `results.json` alone, for the time when a run is under way. Errors name the path.
pub fn write_json(results: &Results, dir: &Path) -> io::Result<PathBuf> {
    let path = dir.join("results.json");
    fs::create_dir_all(dir).map_err(|error| about(dir, "create", error))?;
    let mut json =
        serde_json::to_string_pretty(results).map_err(|error| about(&path, "write", error.into()))?;
    json.push('\n');
    replace(path, &json)
}

/// Points `latest` in `runs` at the run in `dir` and returns its path.
///
/// It is a symbolic link, or a file that holds the path where links are not possible. Either is replaced in one step.
pub fn point_latest(runs: &Path, dir: &Path) -> io::Result<PathBuf> {
    let latest = runs.join("latest");
    // A relative link survives a move of the folder of runs.
    let target = match dir.strip_prefix(runs) {
        Ok(inside) => inside.to_path_buf(),
        Err(_) => path::absolute(dir).map_err(|error| about(dir, "resolve", error))?,
    };
    let fresh = beside(&latest);
    // Left by a process that had the same id and died between the two steps.
    let _ = fs::remove_file(&fresh);
    match symlink(&target, &fresh) {
        Ok(()) => rename(&fresh, &latest)?,
        Err(_) => drop(replace(latest.clone(), &format!("{}\n", target.display()))?),
    }
    Ok(latest)
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Writes beside the path first, so that a full disk leaves the former file as it was.
fn replace(path: PathBuf, text: &str) -> io::Result<PathBuf> {
    let fresh = beside(&path);
    // Also onto the disk, which may be found full only then.
    let written = fs::File::create(&fresh).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    if let Err(error) = written {
        let _ = fs::remove_file(&fresh);
        return Err(about(&path, "write", error));
    }
    rename(&fresh, &path)?;
    Ok(path)
}

fn rename(fresh: &Path, path: &Path) -> io::Result<()> {
    fs::rename(fresh, path).map_err(|error| {
        let _ = fs::remove_file(fresh);
        about(path, "replace", error)
    })
}

/// A name in the same folder, since only there a rename is one step.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", process::id()))
}

/// Whether [`beside`] made this name for a report: a process that was killed left it.
fn is_fresh(name: &str) -> bool {
    REPORTS.iter().any(|(report, _)| name.starts_with(&format!(".{report}."))) && name.ends_with(".tmp")
}

fn about(path: &Path, action: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("could not {action} {}: {error}", path.display()))
}
