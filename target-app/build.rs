//! Notes what the crate is built from, so that the program can tell when the source has changed since.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

#[path = "src/source/files.rs"]
mod files;

fn main() -> io::Result<()> {
    let dir = |variable| env::var_os(variable).map(PathBuf::from).ok_or(io::ErrorKind::NotFound);
    let root = dir("CARGO_MANIFEST_DIR")?;
    let mut paths = Vec::new();
    for dir in source_dirs(&root)? {
        paths.extend(files::list(&root, &dir)?);
    }
    // Not compiled without the feature, so an edit of it is no reason to build anything anew.
    if env::var_os("CARGO_FEATURE_CORPUS").is_none() {
        paths.retain(|path| !path.contains("/corpus"));
    }
    // Named one by one: with the folder named, what an editor leaves in it would have the crate built anew. A migration is
    // part of the crate by being there, so of those the folder counts.
    for path in &paths {
        println!("cargo::rerun-if-changed={path}");
    }
    println!("cargo::rerun-if-changed=migrations");
    paths.extend(files::list(&root, "migrations")?);

    let mut built_from = String::new();
    for path in paths {
        built_from += &format!("{:016x} {path}\n", files::hash(&fs::read(root.join(&path))?));
    }
    fs::write(dir("OUT_DIR")?.join("source.txt"), built_from)
}

/// The folders with source, as paths below `root`: the crate's own, and those of the crates in folders of it, which are as
/// much a part of the program.
fn source_dirs(root: &Path) -> io::Result<Vec<String>> {
    let mut dirs = vec!["src".to_owned()];
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && entry.path().join("Cargo.toml").is_file()
        {
            dirs.push(format!("{name}/src"));
        }
    }
    dirs.sort();
    Ok(dirs)
}
