//! Where servers and caches live, who owns them, and who still uses them.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, geteuid, kill_process, test_kill_process};

use crate::process::{ServerUser, output};
use crate::{Error, Kind, POLL, Project, run_id};

/// Where Linux keeps a file system in memory that everybody may use.
const MEMORY: &str = "/dev/shm";

/// Memory that must be free beside what a run may fill. Containers often have 64 MB there.
const MEMORY_MARGIN_BYTES: u64 = 2 << 30;

/// How long a server may take to stop at once.
pub(crate) const STOP_DEADLINE: Duration = Duration::from_secs(15);

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
pub fn hash(key: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// A directory with everything that private servers of one kind need:
///
/// - `binaries/`: portable servers, and `locks/`: who works on what, both the caller's;
/// - what else the kind keeps, see [`Area::directory`];
/// - `runs/`: one lock file for each running server, and its directory where that is not in memory, owned by the
///   server's user, whose supervisor must be able to remove them.
///
/// A run's directory is in memory where there is ample room: the files of a server are many and often written, which some
/// disks take ten times as long for.
#[derive(Debug)]
pub struct Area {
    /// Whose it is.
    pub project: Project,
    /// Whom its servers run as.
    pub user: ServerUser,
    dir: PathBuf,
}

impl Area {
    /// Opens the area below `home`. Running as root, the server's user may be unable to reach it (a home directory
    /// is often closed to others): then the area is in the system's directory for temporary files, under a name made
    /// from `home`, so that the next run finds its caches again.
    ///
    /// # Errors
    ///
    /// [`Error::Home`] or [`Error::DiskFull`] when it cannot be made, and [`Error::NoUnprivilegedUser`].
    pub async fn open(kind: &'static Kind, project: Project, home: &Path) -> Result<Self, Error> {
        let user = ServerUser::choose(kind).await?;
        let home = std::path::absolute(home).map_err(|error| Error::io(project, home, error))?;
        fs::create_dir_all(&home).map_err(|error| Error::io(project, &home, error))?;
        let name = match user.id() {
            None => kind.name.to_owned(),
            Some(id) => format!("{}-{id}", kind.name),
        };
        let first = Self { project, dir: home.join(name), user };
        first.make_directories()?;
        if first.is_open_to_server().await {
            return Ok(first);
        }
        let shared = format!("{}-{}-{:016x}", project.name(), kind.name, hash(&home));
        for parent in [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()] {
            let area = Self { project, dir: parent.join(&shared), user };
            if area.make_directories().is_ok() && area.is_open_to_server().await {
                return Ok(area);
            }
        }
        Err(Error::Home {
            path: home,
            reason: format!(
                "the server runs as {user}, who can reach neither it nor the directories for temporary files"
            ),
            project,
        })
    }

    /// An I/O error on `path`.
    pub fn io(&self, path: impl Into<PathBuf>, error: io::Error) -> Error {
        Error::io(self.project, path, error)
    }

    fn make_directories(&self) -> Result<(), Error> {
        self.make(&self.dir)?;
        self.make(&self.binaries())?;
        self.make(&self.locks())?;
        let runs = self.runs();
        match fs::create_dir(&runs) {
            Ok(()) => self.user.give(&runs),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(|error| self.io(&runs, error))
    }

    /// Makes a directory of this process's user that the server's user can read.
    fn make(&self, dir: &Path) -> Result<(), Error> {
        let make = || -> io::Result<()> {
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
        make().map_err(|error| self.io(dir, error))
    }

    /// The directory called `name` for what is kept between runs, in the caller's hand like `binaries/`. It is made if it
    /// is not there.
    ///
    /// # Errors
    ///
    /// [`Error::Home`] or [`Error::DiskFull`] when it cannot be made.
    pub fn directory(&self, name: &str) -> Result<PathBuf, Error> {
        let dir = self.dir.join(name);
        self.make(&dir).map(|()| dir)
    }

    /// The area itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    async fn is_open_to_server(&self) -> bool {
        let mut probe = self.user.command("/bin/sh");
        probe.args(["-c", "cd \"$1\" && test -w .", "sh"]).arg(self.runs());
        output(probe).await.is_ok()
    }

    /// Where packages with server programs are.
    pub fn binaries(&self) -> PathBuf {
        self.dir.join("binaries")
    }

    fn locks(&self) -> PathBuf {
        self.dir.join("locks")
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

    /// The file of the lock called `name`.
    pub fn lock_path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.locks().join(name)
    }

    /// Takes the lock called `name`, which ends with the file that is returned.
    ///
    /// # Errors
    ///
    /// [`Error::Home`] or [`Error::DiskFull`] when there can be no such file.
    pub async fn lock(&self, name: &str, sharing: Sharing) -> Result<File, Error> {
        let path = self.lock_path(name);
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

    /// Makes the directory of a new run that may fill `bytes`, after clearing away what killed runs left.
    ///
    /// # Errors
    ///
    /// [`Error::Home`] or [`Error::DiskFull`] when it cannot be made.
    pub async fn new_run(&self, bytes: u64) -> Result<Run, Error> {
        // A new run's lock file must not be collected before it is locked.
        let _exclusive = self.lock("runs", Sharing::Alone).await?;
        self.collect_runs().await;
        let id = run_id(rand::random());
        let on_disk = self.runs().join(&id);
        let ample = MEMORY_MARGIN_BYTES.saturating_add(bytes);
        let dir = if free_memory().is_some_and(|free| free >= ample) {
            self.in_memory(&id)
        } else {
            on_disk.clone()
        };
        let failed = |error| self.io(&dir, error);
        let lock_file = lock_file_of(&on_disk);
        let lock = OpenOptions::new().write(true).create_new(true).open(&lock_file).map_err(failed)?;
        let supervised = AtomicBool::new(false);
        let run = Run { project: self.project, user: self.user, dir: dir.clone(), on_disk, lock, supervised };
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

    /// Makes the directory [`Run::on_disk`], which a run in memory has only where something passes through it.
    ///
    /// # Errors
    ///
    /// [`Error::Home`] or [`Error::DiskFull`] when it cannot be made.
    pub fn make_on_disk(&self, run: &Run) -> Result<(), Error> {
        if run.on_disk.exists() {
            return Ok(());
        }
        self.make_for_server(&run.on_disk).map_err(|error| self.io(&run.on_disk, error))
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

    /// Room on a disk is looked at first: a server on a full one cannot even write into its log why it ends.
    ///
    /// # Errors
    ///
    /// [`Error::DiskFull`] when the disk that holds `path` has too little.
    pub fn check_room(&self, path: &Path) -> Result<(), Error> {
        let free = free_bytes(path).map_err(|error| self.io(path, error))?;
        let needed = self.user.kind().room_bytes;
        if free >= needed {
            return Ok(());
        }
        let reason = format!("{} MB are free, and a private server needs {}", free >> 20, needed >> 20);
        Err(Error::DiskFull { path: path.to_path_buf(), reason, project: self.project })
    }

    /// Explains a failure while writing below `path` by a full disk, where it is full: `reason` is what was said of it.
    pub fn full_disk(&self, path: &Path, reason: String) -> Option<Error> {
        let said_so = reason.contains("No space left on device");
        match self.check_room(path) {
            Err(full) if !said_so => Some(full),
            Ok(()) if !said_so => None,
            _ => Some(Error::DiskFull { path: path.to_path_buf(), reason, project: self.project }),
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

/// Who else may hold a lock at the same time.
#[derive(Debug, Clone, Copy)]
pub enum Sharing {
    /// Nobody.
    Alone,
    /// Others who hold it like this.
    WithReaders,
}

/// A run's directory, removed with the value unless a supervisor has taken that over.
#[derive(Debug)]
pub struct Run {
    pub(crate) project: Project,
    pub(crate) user: ServerUser,
    /// The server's files.
    pub dir: PathBuf,
    /// The same, or where it would be if it were not in memory: what passes between a run and what is kept is put there for
    /// as long as that takes, since renaming works within one file system only.
    pub on_disk: PathBuf,
    /// Held by this process and by the supervisor: the directory is a leftover once both are gone.
    pub(crate) lock: File,
    supervised: AtomicBool,
}

impl Run {
    /// Names this run among all of its home.
    pub fn id(&self) -> String {
        self.on_disk.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The directory that holds the run's, which is there when that is gone.
    pub fn place(&self) -> &Path {
        self.dir.parent().unwrap_or(Path::new("/"))
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        lock_file_of(&self.on_disk)
    }

    /// What the server and its supervisor print.
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The process that is this run's server, if it is there.
    pub fn server(&self) -> Option<Pid> {
        server_of(&self.dir, self.user.kind())
    }

    pub(crate) fn set_supervised(&self, supervised: bool) {
        self.supervised.store(supervised, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, program: &str, reason: String) -> Error {
        Error::Program { program: program.to_owned(), reason, project: self.project }
    }

    /// Ends a server whose supervisor is gone, and removes the directory.
    pub(crate) async fn remove(&self) {
        remove_run([&self.dir, &self.on_disk], &self.lock_file(), self.user).await;
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !*self.supervised.get_mut() {
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

fn server_of(run: &Path, kind: &Kind) -> Option<Pid> {
    let pid_file = run.join(kind.pid_file);
    let written = fs::read_to_string(&pid_file).ok()?;
    let pid = Pid::from_raw(written.lines().next()?.trim().parse().ok()?)?;
    // After a reboot the number may be another process's.
    let command_line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).or_else(|_| {
        let ps =
            std::process::Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output();
        ps.map(|ps| ps.stdout)
    });
    let command_line = String::from_utf8_lossy(&command_line.ok()?).into_owned();
    command_line.contains(pid_file.parent()?.to_str()?).then_some(pid)
}

async fn remove_run(dirs: [&Path; 2], lock_file: &Path, user: ServerUser) {
    for dir in dirs {
        if let Some(server) = server_of(dir, user.kind()) {
            let _ = kill_process(server, user.kind().stop);
            if !ends_by(server, Instant::now() + STOP_DEADLINE).await {
                return;
            }
        }
        if let Some((program, arguments)) = (user.kind().free)(dir).as_deref().and_then(<[_]>::split_first) {
            let mut free = user.command(program);
            free.args(arguments);
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
