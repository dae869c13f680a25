//! Generated files: written, or compared with what is on disk.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Folders in which every file is generated, from the root of the project.
const OWNED: [&str; 4] =
    ["dashboards/grafana", "dashboards/provisioning", "dashboards/prometheus", "dashboards/alertmanager"];

/// Contents by path from the root of the project.
#[derive(Debug, Default)]
pub struct Files {
    whole: BTreeMap<PathBuf, String>,
    /// Of pages that are otherwise written by hand: names and contents.
    parts: BTreeMap<PathBuf, Vec<(&'static str, String)>>,
}

impl Files {
    /// Adds a file. Panics when there is one of that name: two dashboards with one uid, for example.
    pub fn add(&mut self, path: impl Into<PathBuf>, content: String) {
        let path = path.into();
        assert!(!self.whole.contains_key(&path), "{} is generated twice", path.display());
        self.whole.insert(path, content);
    }

    /// Adds a part of a page: what stands there between `<!-- generated: NAME -->` and `<!-- end -->`.
    pub fn add_part(&mut self, path: impl Into<PathBuf>, name: &'static str, content: String) {
        self.parts.entry(path.into()).or_default().push((name, content));
    }

    /// Adds several.
    pub fn extend(&mut self, files: impl IntoIterator<Item = (&'static str, String)>) {
        for (path, content) in files {
            self.add(path, content);
        }
    }

    /// Path and content of each, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.whole.iter().map(|(path, content)| (path.as_path(), content.as_str()))
    }

    /// The content of one file.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.whole.get(Path::new(path)).map(String::as_str)
    }

    /// Writes those that differ into the project at `root`, and says which.
    pub fn write(&self, root: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let mut written = Vec::new();
        for (path, content) in &self.contents(root)? {
            let target = root.join(path);
            if read(&target)?.as_ref() == Some(content) {
                continue;
            }
            let folder = target.parent().expect("a file is in a folder");
            fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
            fs::write(&target, content).with_context(|| format!("could not write {}", target.display()))?;
            written.push(path.clone());
        }
        Ok(written)
    }

    /// All files with their contents; of a page, what is written by hand comes from the project at `root`.
    fn contents(&self, root: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
        let mut contents = self.whole.clone();
        for (path, parts) in &self.parts {
            // Files for somewhere else, without the pages.
            let Some(mut page) = read(&root.join(path))? else { continue };
            for (name, content) in parts {
                page = with_part(&page, name, content).with_context(|| path.display().to_string())?;
            }
            contents.insert(path.clone(), page);
        }
        Ok(contents)
    }

    /// What in the project at `root` is not as it would be generated now.
    pub fn differences(&self, root: &Path) -> anyhow::Result<Vec<Difference>> {
        let mut differences = Vec::new();
        for (path, content) in &self.contents(root)? {
            match read(&root.join(path))? {
                None => differences.push(Difference::Missing(path.clone())),
                Some(found) if found != *content => differences.push(Difference::Stale(path.clone())),
                Some(_) => {}
            }
        }
        for folder in OWNED {
            let found = files_in(&root.join(folder))?;
            let stray = found.into_iter().map(|path| path.strip_prefix(root).unwrap_or(&path).to_path_buf());
            differences.extend(stray.filter(|path| !self.whole.contains_key(path)).map(Difference::Stray));
        }
        Ok(differences)
    }
}

/// The page with this content between the comments of the part called `name`.
fn with_part(page: &str, name: &str, content: &str) -> anyhow::Result<String> {
    let begin = format!("<!-- generated: {name} -->\n");
    let (before, rest) = page.split_once(&begin).with_context(|| format!("there is no line {begin:?}"))?;
    let (_, after) =
        rest.split_once("<!-- end -->").with_context(|| format!("there is no end of {begin:?}"))?;
    Ok(format!("{before}{begin}\n{content}\n<!-- end -->{after}"))
}

/// A file on disk that is not as it should be.
#[derive(Debug, PartialEq, Eq)]
pub enum Difference {
    /// It is not there.
    Missing(PathBuf),
    /// It has another content.
    Stale(PathBuf),
    /// Nothing generates it.
    Stray(PathBuf),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Missing(path) => write!(f, "missing: {}", path.display()),
            Difference::Stale(path) => write!(f, "stale: {}", path.display()),
            Difference::Stray(path) => write!(f, "stray, remove it: {}", path.display()),
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read(path) {
        // Whatever is not UTF-8 was not generated here, and so differs from all that is.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}

/// All files below a folder, sorted; none when there is no folder.
fn files_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("could not list {}", folder.display())),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("could not list {}", folder.display()))?.path();
        if path.is_dir() { files.extend(files_in(&path)?) } else { files.push(path) }
    }
    files.sort();
    Ok(files)
}
