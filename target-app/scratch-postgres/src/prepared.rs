//! Prepared clusters: with a filled template, to copy from.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use scratch_server::{Area, Run, output};

use crate::PostgresError;
use crate::cluster::cluster_of;

/// How many prepared clusters are kept. One is used per template and server version; older keys are leftovers of
/// edited seeds.
const PREPARED_KEPT: usize = 4;

/// The prepared clusters of an area, in the caller's hand, each owned by the server's user.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    pub(crate) area: &'a Area,
    pub(crate) dir: PathBuf,
}

impl<'a> Prepared<'a> {
    pub(crate) fn open(area: &'a Area) -> Result<Self, PostgresError> {
        Ok(Self { area, dir: area.directory("prepared")? })
    }

    /// The prepared cluster called `name`, which exists only when it is complete.
    pub(crate) fn cluster(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes the directory of a run on a copy of the cluster called `name`.
    pub(crate) async fn new_run(&self, name: &str) -> Result<Run, PostgresError> {
        // The copy and one clone of what is in it.
        Ok(self.area.new_run(2 * size(&self.cluster(name))).await?)
    }

    /// Copies a cluster, as the server's user.
    pub(crate) async fn copy(&self, from: &Path, to: &Path) -> Result<(), PostgresError> {
        let mut copy = self.area.user.command("cp");
        copy.arg("-R").arg(from).arg(to);
        let project = self.area.project;
        let failed = |reason| PostgresError::Program { program: "cp".into(), reason, project };
        output(copy).await.map(|_| ()).map_err(failed)
    }

    /// Makes the complete cluster of `run` the prepared one called `name`. It is there at once or not at all: what is copied
    /// from memory, which may be interrupted, becomes a prepared cluster by being renamed.
    pub(crate) async fn keep(&self, run: &Run, name: &str) -> Result<(), PostgresError> {
        let complete = run.on_disk.join("cluster");
        let prepared = self.cluster(name);
        let kept = async {
            if run.dir != run.on_disk {
                self.area.make_on_disk(run)?;
                self.copy(&cluster_of(run), &complete).await?;
            }
            fs::rename(&complete, &prepared)
                .map_err(|error| PostgresError::from(self.area.io(&prepared, error)))
        };
        kept.await.map_err(|error| explain(self.area, self.area.dir(), error))
    }

    /// Removes prepared clusters that have not been used for longest. `run` takes them first, so that an interrupted
    /// removal never leaves half of one in place.
    pub(crate) fn prune(&self, run: &Run) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let mut found: Vec<(SystemTime, OsString)> = entries
            .flatten()
            .map(|entry| entry.file_name())
            .map(|name| {
                let used = fs::metadata(self.area.lock_path(&name)).and_then(|lock| lock.modified());
                (used.unwrap_or(SystemTime::UNIX_EPOCH), name)
            })
            .collect();
        found.sort_by(|a, b| b.cmp(a));
        for (_, name) in found.into_iter().skip(PREPARED_KEPT) {
            let lock_file = self.area.lock_path(&name);
            let Ok(lock) = OpenOptions::new().create(true).append(true).open(&lock_file) else { continue };
            if lock.try_lock().is_ok() {
                self.discard(&name, run);
            }
        }
    }

    /// Removes a prepared cluster by way of `run`; its lock must be held alone.
    pub(crate) fn discard(&self, name: impl AsRef<Path>, run: &Run) {
        let _ = self.area.make_on_disk(run);
        let doomed = run.on_disk.join("pruned");
        if fs::rename(self.dir.join(name), &doomed).is_ok() {
            let _ = fs::remove_dir_all(&doomed);
        }
    }
}

/// Explains a failure while writing below `path` by a full disk, where it is full.
pub(crate) fn explain(area: &Area, path: &Path, error: PostgresError) -> PostgresError {
    if matches!(error, PostgresError::DiskFull { .. }) {
        return error;
    }
    area.full_disk(path, format!("{error:#}")).map_or(error, PostgresError::from)
}

/// What the files below `path` hold, in bytes; zero where there is nothing.
fn size(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        found => found.map_or(0, |found| found.len()),
    });
    sizes.sum()
}
