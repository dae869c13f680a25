//! The files that a build is made of, and what is in them. The build script has this file as well, so it stands alone.

use std::path::Path;
use std::{fs, io};

/// The files below `root/dir`, as paths below `root`, in order.
pub fn list(root: &Path, dir: &str) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join(dir))? {
        let entry = entry?;
        // A name that is no text is none that Rust or SQL could ask for.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{dir}/{name}");
        match entry.file_type()?.is_dir() {
            true => files.extend(list(root, &path)?),
            false if is_left_by_an_editor(&name) => {}
            false => files.push(path),
        }
    }
    files.sort();
    Ok(files)
}

/// Such files come and go while their owner types.
fn is_left_by_an_editor(name: &str) -> bool {
    name.starts_with(['.', '#']) || name.ends_with('~') || name.ends_with(".swp")
}

/// A number that tells one content from another: FNV-1a, which is the same in every build, as the standard hasher does not
/// promise to be.
pub fn hash<'a>(content: impl IntoIterator<Item = &'a u8>) -> u64 {
    content
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
