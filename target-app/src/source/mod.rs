//! Whether this program was built from the source that is on the disk. The variants are compiled in, so a program that was
//! built before an edit knows nothing of the edit.

mod files;

use std::fs;
use std::path::Path;

pub(crate) use files::hash;

/// Where the source was when this was built.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The files this was built from, a line each: the hash of its content, and its path below [`ROOT`].
const BUILT_FROM: &str = include_str!(concat!(env!("OUT_DIR"), "/source.txt"));

/// Files of this crate and of those nested in its folder, as paths in the repository, that are not what they were when this was built; none where the source is
/// not on this machine.
pub fn changed() -> Vec<String> {
    let changed = changed_in(Path::new(ROOT), BUILT_FROM);
    changed.into_iter().map(|path| format!("{}/{path}", env!("CARGO_PKG_NAME"))).collect()
}

fn changed_in(root: &Path, built_from: &str) -> Vec<String> {
    if !root.join("src").is_dir() {
        return Vec::new();
    }
    let built_from = || built_from.lines().filter_map(|line| line.split_once(' '));
    let is_as_built = |(hash, path): &(&str, &str)| {
        fs::read(root.join(path)).is_ok_and(|content| format!("{:016x}", files::hash(&content)) == *hash)
    };
    let mut changed: Vec<String> =
        built_from().filter(|file| !is_as_built(file)).map(|(_, path)| path.into()).collect();
    // A new source file is part of a build only when another names it, which has changed then. A migration is by being there.
    let migrations = files::list(root, "migrations").unwrap_or_default();
    changed.extend(migrations.into_iter().filter(|path| built_from().all(|(_, known)| known != path)));
    changed
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, remove_file, write};

    use tempfile::TempDir;

    use super::*;

    /// A crate of three files, and what a build of it remembers.
    fn built() -> (TempDir, String) {
        let root = tempfile::tempdir().unwrap();
        create_dir_all(root.path().join("src/exercises")).unwrap();
        create_dir_all(root.path().join("migrations")).unwrap();
        let mut built_from = String::new();
        for path in ["src/lib.rs", "src/exercises/buggy.rs", "migrations/1.sql"] {
            write(root.path().join(path), path).unwrap();
            built_from += &format!("{:016x} {path}\n", files::hash(path.as_bytes()));
        }
        (root, built_from)
    }

    #[test]
    fn this_test_was_built_from_what_is_on_the_disk() {
        for part in [
            " src/exercises/oversold_stock/buggy.rs\n",
            " migrations/",
            " scratch-nats/src/lib.rs\n",
            " scratch-postgres/src/lib.rs\n",
            " scratch-server/src/supervisor.sh\n",
            " sql-tally/src/lib.rs\n",
        ] {
            assert!(BUILT_FROM.contains(part), "{part} is not in\n{BUILT_FROM}");
        }
        assert_eq!(changed(), Vec::<String>::new());
    }

    #[test]
    fn what_was_written_again_as_it_was_has_not_changed() {
        let (root, built_from) = built();
        write(root.path().join("src/lib.rs"), "src/lib.rs").unwrap();
        assert!(changed_in(root.path(), &built_from).is_empty());
    }

    #[test]
    fn what_was_edited_removed_or_added_to_the_migrations_has_changed() {
        let (root, built_from) = built();
        write(root.path().join("src/exercises/buggy.rs"), "edited").unwrap();
        remove_file(root.path().join("src/lib.rs")).unwrap();
        write(root.path().join("migrations/2.sql"), "").unwrap();
        assert_eq!(
            changed_in(root.path(), &built_from),
            ["src/lib.rs", "src/exercises/buggy.rs", "migrations/2.sql"]
        );
    }

    #[test]
    fn what_an_editor_leaves_is_no_source() {
        let (root, built_from) = built();
        for name in ["src/.lib.rs.swp", "migrations/.2.sql", "migrations/1.sql~", "migrations/#1.sql#"] {
            write(root.path().join(name), "").unwrap();
        }
        assert!(changed_in(root.path(), &built_from).is_empty());
        assert_eq!(files::list(root.path(), "src").unwrap(), ["src/exercises/buggy.rs", "src/lib.rs"]);
    }

    #[test]
    fn without_the_source_there_is_nothing_to_compare_with() {
        let (_, built_from) = built();
        assert!(changed_in(Path::new("/nonexistent"), &built_from).is_empty());
    }
}
