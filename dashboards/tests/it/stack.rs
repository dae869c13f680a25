//! The stack in `docker/`: what can be said of it by reading, and what a container engine says.

mod compose;
mod containers;
mod dockerfile;
mod pages;

use crate::support::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether an image's tag names one release: a version of at least two numbers, or a date.
fn is_exact(tag: &str) -> bool {
    tag.split('-').any(|part| {
        let numbers: Vec<&str> = part.trim_start_matches('v').split('.').collect();
        let numeric = numbers
            .iter()
            .all(|number| number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty());
        numeric && (numbers.len() >= 2 || numbers[0].len() == "20260101".len())
    })
}

#[test]
fn only_a_tag_that_names_one_release_is_exact() {
    for tag in ["v3.13.3", "17.10-bookworm", "bookworm-20260824-slim", "1.95.0-slim-bookworm", "2.20.0"] {
        assert!(is_exact(tag), "{tag}");
    }
    for tag in ["latest", "17", "v3", "bookworm-slim", "17-alpine", "", "main.", "1."] {
        assert!(!is_exact(tag), "{tag}");
    }
}
