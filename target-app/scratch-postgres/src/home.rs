//! Where clusters and caches live, who owns them, and who still uses them.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, geteuid, kill_process, test_kill_process};

use crate::process::{ServerUser, output};
use crate::{PostgresError, Project, run_id};

/// Room that a cluster needs: the copy, its first WAL segments, and some to work with.
const ROOM_BYTES: u64 = 128 << 20;

/// Where Linux keeps a file system in memory that everybody may use.
const MEMORY: &str = "/dev/shm";

/// Memory that must be free beside a cluster and one clone of it. Containers often have 64 MB there.
const MEMORY_MARGIN_BYTES: u64 = 2 << 30;

/// How many prepared clusters are kept. One is used per template and server version; older keys are leftovers of
/// edited seeds.
const PREPARED_KEPT: usize = 4;

/// How long a server may take to stop at once. PostgreSQL itself kills what has not obeyed after five seconds.
pub(crate) const STOP_DEADLINE: Duration = Duration::from_secs(15);

/// The pause between two looks at a lock, a process or a port.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// Where a project keeps what is made for it. It is what [`Project::home_variable`] says, else a directory with the project's
/// name, in Cargo's target directory of the running program, else in `./target`.
pub fn default_home(project: Project) -> PathBuf {
    home_for(project, std::env::var_os(project.home_variable()), std::env::current_exe().ok().as_deref())
}

fn home_for(project: Project, named: Option<OsString>, program: Option<&Path>) -> PathBuf {
    // Cargo tags its target directory only where it made it itself, and keeps what it knows of the compiler in any.
    let is_target =
        |dir: &&Path| ["CACHEDIR.TAG", ".rustc_info.json"].iter().any(|file| dir.join(file).is_file());
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return named.into();
    }
    program
        .and_then(|program| program.ancestors().skip(1).find(is_target))
        .unwrap_or(Path::new("target"))
        .join(project.name())
}

/// A stable number for a key. A release of Rust may change it; then caches are made anew.
pub(crate) fn hash(key: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// A directory with everything that private clusters need:
///
/// - `binaries/`: portable servers, and `locks/`: who works on what, both the caller's;
/// - `prepared/`: clusters to copy from, in the caller's hand too, each owned by the server's user;
/// - `runs/`: one lock file for each running cluster, and its directory where that is not in memory, owned by the
///   server's user, whose supervisor must be able to remove them.
///
/// A run's directory is in memory where there is ample room: copies and clones of databases are many small files, which
/// some disks take ten times as long to write.
#[derive(Debug)]
pub(crate) struct Area {
    pub(crate) project: Project,
    dir: PathBuf,
    pub(crate) user: ServerUser,
}

impl Area {
    /// Opens the area below `home`. Running as root, the server's user may be unable to reach it (a home directory
    /// is often closed to others): then the area is in the system's directory for temporary files, under a name made
    /// from `home`, so that the next run finds its caches again.
    pub(crate) async fn open(project: Project, home: &Path) -> Result<Self, PostgresError> {
        let user = ServerUser::choose().await?;
        let home = std::path::absolute(home).map_err(|error| PostgresError::io(project, home, error))?;
        fs::create_dir_all(&home).map_err(|error| PostgresError::io(project, &home, error))?;
        let name = match user.id() {
            None => "postgres".to_owned(),
            Some(id) => format!("postgres-{id}"),
        };
        let first = Self { project, dir: home.join(name), user };
        first.make_directories()?;
        if first.is_open_to_server().await {
            return Ok(first);
        }
        let shared = format!("{}-{:016x}", project.name(), hash(&home));
        for parent in [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()] {
            let area = Self { project, dir: parent.join(&shared), user };
            if area.make_directories().is_ok() && area.is_open_to_server().await {
                return Ok(area);
            }
        }
        Err(PostgresError::Home {
            path: home,
            reason: format!(
                "the server runs as {user}, who can reach neither it nor the directories for temporary files"
            ),
            project,
        })
    }

    /// An I/O error on `path`.
    pub(crate) fn io(&self, path: impl Into<PathBuf>, error: io::Error) -> PostgresError {
        PostgresError::io(self.project, path, error)
    }

    fn make_directories(&self) -> Result<(), PostgresError> {
        let make = |dir: &Path| -> io::Result<()> {
            match fs::create_dir(dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                // Explicit, because a strict umask would lock the server's user out.
                Ok(()) => fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?,
                Err(_) => {}
            }
            // In a directory for temporary files, anybody may have put something under this name.
            let found = fs::symlink_metadata(dir)?;
            if found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0 {
                Ok(())
            } else {
                Err(io::Error::other("it is not a directory of this user that nobody else can write to"))
            }
        };
        for dir in [self.dir.clone(), self.binaries(), self.locks(), self.prepared()] {
            make(&dir).map_err(|error| self.io(&dir, error))?;
        }
        let runs = self.runs();
        match fs::create_dir(&runs) {
            Ok(()) => self.user.give(&runs),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(|error| self.io(&runs, error))
    }

    async fn is_open_to_server(&self) -> bool {
        let mut probe = self.user.command("/bin/sh");
        probe.args(["-c", "cd \"$1\" && test -w .", "sh"]).arg(self.runs());
        output(probe).await.is_ok()
    }

    pub(crate) fn binaries(&self) -> PathBuf {
        self.dir.join("binaries")
    }

    fn locks(&self) -> PathBuf {
        self.dir.join("locks")
    }

    fn prepared(&self) -> PathBuf {
        self.dir.join("prepared")
    }

    fn runs(&self) -> PathBuf {
        self.dir.join("runs")
    }

    /// The directory in memory of the run called `id`. The name tells apart whose it is and of which home. There is no
    /// directory around them all, so that nothing is left when they are gone; that of the system is one where nobody
    /// can move or remove what is another's.
    fn in_memory(&self, id: &str) -> PathBuf {
        Path::new(MEMORY).join(self.memory_prefix() + id)
    }

    fn memory_prefix(&self) -> String {
        format!("{}-{:016x}-", self.project.name(), hash(&self.dir))
    }

    /// The prepared cluster called `name`, which exists only when it is complete.
    pub(crate) fn prepared_cluster(&self, name: &str) -> PathBuf {
        self.prepared().join(name)
    }

    /// Takes the lock called `name`, which ends with the file that is returned.
    pub(crate) async fn lock(&self, name: &str, sharing: Sharing) -> Result<File, PostgresError> {
        let path = self.locks().join(name);
        let failed = |error| self.io(&path, error);
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        loop {
            let taken = match sharing {
                Sharing::Alone => file.try_lock(),
                Sharing::WithReaders => file.try_lock_shared(),
            };
            match taken {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(POLL).await,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// Makes the directory of a new run of the prepared cluster at `prepared`, after clearing away what killed runs
    /// left.
    pub(crate) async fn new_run(&self, prepared: &Path) -> Result<Run, PostgresError> {
        // A new run's lock file must not be collected before it is locked.
        let _exclusive = self.lock("runs", Sharing::Alone).await?;
        self.collect_runs().await;
        let id = run_id(rand::random());
        let on_disk = self.runs().join(&id);
        let ample = MEMORY_MARGIN_BYTES.saturating_add(2 * size(prepared));
        let dir = if free_memory().is_some_and(|free| free >= ample) {
            self.in_memory(&id)
        } else {
            on_disk.clone()
        };
        let failed = |error| self.io(&dir, error);
        let lock_file = lock_file_of(&on_disk);
        let lock = OpenOptions::new().write(true).create_new(true).open(&lock_file).map_err(failed)?;
        let run = Run { dir: dir.clone(), on_disk, lock, user: self.user, supervised: false };
        run.lock.try_lock().map_err(|error| failed(error.into()))?;
        self.check_room(run.place())?;
        self.make_for_server(&dir).map_err(failed)?;
        Ok(run)
    }

    /// Makes a directory that is the server's alone. What is there already is no such thing.
    fn make_for_server(&self, dir: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(dir)?;
        self.user.give(dir)
    }

    /// Makes the run's directory on the disk, which a run in memory has only where something passes through it.
    fn make_on_disk(&self, run: &Run) -> io::Result<()> {
        if run.on_disk.exists() { Ok(()) } else { self.make_for_server(&run.on_disk) }
    }

    /// Copies a cluster, as the server's user.
    pub(crate) async fn copy(&self, from: &Path, to: &Path) -> Result<(), PostgresError> {
        let mut copy = self.user.command("cp");
        copy.arg("-R").arg(from).arg(to);
        let failed = |reason| PostgresError::Program { program: "cp".into(), reason, project: self.project };
        output(copy).await.map(|_| ()).map_err(failed)
    }

    /// Makes the complete cluster of `run` a prepared one. It is there at once or not at all: what is copied from
    /// memory, which may be interrupted, becomes a prepared cluster by being renamed.
    pub(crate) async fn keep_prepared(&self, run: &Run, prepared: &Path) -> Result<(), PostgresError> {
        let complete = run.on_disk.join("cluster");
        let kept = async {
            if run.dir != run.on_disk {
                self.make_on_disk(run).map_err(|error| self.io(&run.on_disk, error))?;
                self.copy(&run.cluster(), &complete).await?;
            }
            fs::rename(&complete, prepared).map_err(|error| self.io(prepared, error))
        };
        kept.await.map_err(|error| self.explain(&self.dir, error))
    }

    /// Removes what is left of runs that nobody owns any more. What cannot be removed is left for the next time.
    async fn collect_runs(&self) {
        let names = |dir: &Path| {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            entries.filter_map(|entry| Some((entry.path().file_stem()?.to_str()?.to_owned(), entry)))
        };
        let prefix = self.memory_prefix();
        // Anybody may put something under such a name; only the server's user and this one are believed.
        let owners = [Some(geteuid().as_raw()), self.user.id()];
        let in_memory = names(Path::new(MEMORY)).filter_map(|(name, entry)| {
            let id = name.strip_prefix(&prefix)?;
            let found = entry.metadata().ok()?;
            (found.is_dir() && owners.contains(&Some(found.uid()))).then(|| id.to_owned())
        });
        let ids: BTreeSet<String> = names(&self.runs()).map(|(id, _)| id).chain(in_memory).collect();
        for id in ids {
            let on_disk = self.runs().join(&id);
            let lock = OpenOptions::new().create(true).append(true).open(lock_file_of(&on_disk));
            if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
                tracing::debug!(run = id, "collecting what a killed run left");
                remove_run([&self.in_memory(&id), &on_disk], &lock_file_of(&on_disk), self.user).await;
            }
        }
    }

    /// Removes prepared clusters that have not been used for longest. `run` takes them first, so that an interrupted
    /// removal never leaves half of one in place.
    pub(crate) fn prune_prepared(&self, run: &Run) {
        let Ok(entries) = fs::read_dir(self.prepared()) else { return };
        let mut found: Vec<(SystemTime, OsString)> = entries
            .flatten()
            .map(|entry| entry.file_name())
            .map(|name| {
                let used = fs::metadata(self.locks().join(&name)).and_then(|lock| lock.modified());
                (used.unwrap_or(SystemTime::UNIX_EPOCH), name)
            })
            .collect();
        found.sort_by(|a, b| b.cmp(a));
        for (_, name) in found.into_iter().skip(PREPARED_KEPT) {
            let lock_file = self.locks().join(&name);
            let Ok(lock) = OpenOptions::new().create(true).append(true).open(&lock_file) else { continue };
            if lock.try_lock().is_ok() {
                self.discard_prepared(&name, run);
            }
        }
    }

    /// Removes a prepared cluster by way of `run`; its lock must be held alone.
    pub(crate) fn discard_prepared(&self, name: impl AsRef<Path>, run: &Run) {
        let _ = self.make_on_disk(run);
        let doomed = run.on_disk.join("pruned");
        if fs::rename(self.prepared().join(name), &doomed).is_ok() {
            let _ = fs::remove_dir_all(&doomed);
        }
    }

    /// Room on a disk is looked at first: a server on a full one cannot even write into its log why it ends.
    pub(crate) fn check_room(&self, path: &Path) -> Result<(), PostgresError> {
        let free = free_bytes(path).map_err(|error| self.io(path, error))?;
        if free >= ROOM_BYTES {
            return Ok(());
        }
        Err(PostgresError::DiskFull {
            path: path.to_path_buf(),
            reason: format!("{} MB are free, and a cluster needs {}", free >> 20, ROOM_BYTES >> 20),
            project: self.project,
        })
    }

    /// Explains a failure while writing below `path` by a full disk, where it is full.
    pub(crate) fn explain(&self, path: &Path, error: PostgresError) -> PostgresError {
        if matches!(error, PostgresError::DiskFull { .. }) {
            return error;
        }
        let reason = format!("{error:#}");
        let said_so = reason.contains("No space left on device");
        match self.check_room(path) {
            Err(full) if !said_so => full,
            Ok(()) if !said_so => error,
            _ => PostgresError::DiskFull { path: path.to_path_buf(), reason, project: self.project },
        }
    }
}

fn free_bytes(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// How much can be kept in memory, where that is to be had by everybody, each safe from the others.
#[cfg(target_os = "linux")]
fn free_memory() -> Option<u64> {
    const TMPFS: u32 = 0x0102_1994;
    let shared = fs::metadata(MEMORY).is_ok_and(|found| found.is_dir() && found.mode() & 0o1777 == 0o1777);
    let in_memory = rustix::fs::statfs(MEMORY).is_ok_and(|found| found.f_type as u32 == TMPFS);
    if shared && in_memory { free_bytes(Path::new(MEMORY)).ok() } else { None }
}

#[cfg(not(target_os = "linux"))]
fn free_memory() -> Option<u64> {
    None
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

/// Who else may hold a lock at the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sharing {
    Alone,
    WithReaders,
}

/// A run's directory, removed with the value unless a supervisor has taken that over.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) dir: PathBuf,
    /// The same, or where it would be if it were not in memory: what passes between a run and the prepared clusters is
    /// put there for as long as that takes, since renaming works within one file system only.
    on_disk: PathBuf,
    /// Held by this process and by the supervisor: the directory is a leftover once both are gone.
    pub(crate) lock: File,
    user: ServerUser,
    pub(crate) supervised: bool,
}

impl Run {
    pub(crate) fn id(&self) -> String {
        self.on_disk.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The directory that holds the run's, which is there when that is gone.
    pub(crate) fn place(&self) -> &Path {
        self.dir.parent().unwrap_or(Path::new("/"))
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        lock_file_of(&self.on_disk)
    }

    /// The cluster: `data` (PostgreSQL's data directory) and `password`.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.dir.join("cluster")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The process that is, or was, this run's server.
    pub(crate) fn server(&self) -> Option<Pid> {
        server_of(&self.dir)
    }

    /// Ends a server whose supervisor is gone, and removes the directory.
    pub(crate) async fn remove(&self) {
        remove_run([&self.dir, &self.on_disk], &self.lock_file(), self.user).await;
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.supervised {
            for dir in [&self.dir, &self.on_disk] {
                let _ = fs::remove_dir_all(dir);
            }
            let _ = fs::remove_file(self.lock_file());
        }
    }
}

fn lock_file_of(run: &Path) -> PathBuf {
    run.with_extension("lock")
}

fn server_of(run: &Path) -> Option<Pid> {
    let data = run.join("cluster/data");
    let written = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid = Pid::from_raw(written.lines().next()?.trim().parse().ok()?)?;
    // After a reboot the number may be another process's.
    let command_line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).or_else(|_| {
        let ps =
            std::process::Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output();
        ps.map(|ps| ps.stdout)
    });
    let command_line = String::from_utf8_lossy(&command_line.ok()?).into_owned();
    command_line.contains(data.to_str()?).then_some(pid)
}

/// The segment of System V's shared memory that a killed server left. PostgreSQL keeps a few bytes there, by which it notices
/// sessions of a server that is gone, and only the server itself removes it.
fn shared_memory_of(run: &Path) -> Option<String> {
    let written = fs::read_to_string(run.join("cluster/data/postmaster.pid")).ok()?;
    let mut lines = written.lines();
    let server = lines.next()?.trim();
    let mut named = lines.nth(5)?.split_ascii_whitespace();
    let (key, id) = (named.next()?.parse::<u64>().ok()?, named.next()?);
    // After a reboot the number may be another program's: it must have the key, and have been made by that process.
    let segments = fs::read_to_string("/proc/sysvipc/shm").ok()?;
    let is_ours = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // The same 32 bits, which one of the two writes with a sign.
        let has_key = fields.first().and_then(|field| field.parse::<i32>().ok()) == Some(key as i32);
        has_key && fields.get(1) == Some(&id) && fields.get(4) == Some(&server)
    };
    segments.lines().any(is_ours).then(|| id.to_owned())
}

async fn remove_run(dirs: [&Path; 2], lock_file: &Path, user: ServerUser) {
    for dir in dirs {
        if let Some(server) = server_of(dir) {
            let _ = kill_process(server, Signal::QUIT);
            if !ends_by(server, Instant::now() + STOP_DEADLINE).await {
                return;
            }
        }
        if let Some(segment) = shared_memory_of(dir) {
            let mut free = user.command("ipcrm");
            free.args(["-m", &segment]);
            let _ = output(free).await;
        }
        let _ = fs::remove_dir_all(dir);
    }
    if dirs.iter().all(|dir| !dir.exists()) {
        let _ = fs::remove_file(lock_file);
    }
}

async fn ends_by(process: Pid, deadline: Instant) -> bool {
    while test_kill_process(process).is_ok() {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(POLL).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEA: Project = Project::new("tea");

    #[test]
    fn a_named_home_wins_over_cargos() {
        assert_eq!(home_for(TEA, Some("/named".into()), None), Path::new("/named"));
    }

    #[test]
    fn home_is_in_cargos_directory_above_the_program() {
        for file in ["CACHEDIR.TAG", ".rustc_info.json"] {
            let target = tempfile::tempdir().unwrap();
            fs::write(target.path().join(file), "").unwrap();
            let program = target.path().join("debug/deps/it-0123");
            assert_eq!(home_for(TEA, Some("".into()), Some(&program)), target.path().join("tea"));
        }
    }

    #[test]
    fn home_without_a_tag_is_in_the_working_directory() {
        assert_eq!(home_for(TEA, None, Some(Path::new("/nowhere/teapot"))), Path::new("target/tea"));
    }
}
