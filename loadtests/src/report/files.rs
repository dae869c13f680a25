//! The reports on disk.

use std::io;
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

/// Writes all reports into `dir`, which is made where it is missing.
///
/// Each file appears whole or not at all, also when a reader looks while a run goes on.
/// Errors name the path.
pub fn write(results: &Results, sources: Sources, dir: &Path) -> io::Result<Paths> {
    let results_path = write_json(results, dir)?;
    let junit =
        junit(results).map_err(|error| about(&dir.join("junit.xml"), "write", io::Error::other(error)))?;
    Ok(Paths {
        results: results_path,
        html: replace(dir.join("report.html"), &html(results, sources))?,
        summary: replace(dir.join("summary.md"), &markdown(results))?,
        junit: replace(dir.join("junit.xml"), &junit)?,
    })
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
    if let Err(error) = fs::write(&fresh, text) {
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

fn about(path: &Path, action: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("could not {action} {}: {error}", path.display()))
}
