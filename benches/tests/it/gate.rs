//! The gate as a user meets it: its verdicts, what it says to bad input, how it ends, and what it leaves behind.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::fakes::{Stage, VALGRIND, counting, ended, program};

/// A program that is not the same file as another, but behaves as it.
fn other(benchmarks: &[(&str, u32)]) -> String {
    program(benchmarks, "# another build")
}

#[test]
fn equal_programs_are_called_identical_and_not_measured() {
    let stage = Stage::new(&program(&[("sum", 1000)], ""), &program(&[("sum", 1000)], ""));
    let said = stage.gate(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("identical"), "{said:?}");
    assert_eq!(stage.report()["benchmarks"][0]["blocks"].as_array().unwrap().len(), 0);
}

#[test]
fn a_program_that_is_no_slower_passes() {
    let stage = Stage::new(&program(&[("sum", 1000)], ""), &other(&[("sum", 1000)]));
    let said = stage.gate(&["--no-instructions"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let report = stage.report();
    assert_eq!(report["complete"], true);
    assert_eq!(report["benchmarks"][0]["blocks"].as_array().unwrap().len(), 15);
    assert_eq!(stage.decision("sum").0, "PASS");
}

#[test]
fn a_slowdown_of_ten_percent_is_named_everywhere() {
    let stage = Stage::new(
        &program(&[("sum", 1000), ("sort|all", 500)], ""),
        &program(&[("sum", 1100), ("sort|all", 500)], ""),
    );
    let base = stage.path("base");
    let said = ended(
        stage
            .command(&["gate", "--base-dir", base.to_str().unwrap(), "--out", "out", "--no-instructions"])
            .env("GITHUB_ACTIONS", "true"),
    );
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stdout.contains("1 of 2 benchmarks slower"), "{said:?}");
    assert!(said.stdout.contains("::error title=FAIL sum::slower by +"), "{said:?}");
    assert_eq!(stage.decision("sum").0, "FAIL");
    assert_eq!(stage.decision("sort|all").0, "PASS");
    let markdown = stage.read("head/out/gate.md");
    assert!(
        markdown.contains("| `sum` | FAIL |") && markdown.contains("| `sort\\|all` | PASS |"),
        "{markdown}"
    );
    let junit = stage.read("head/out/junit.xml");
    assert!(junit.contains("tests=\"2\"") && junit.contains("failures=\"1\""), "{junit}");
    assert!(junit.contains("type=\"FAIL\""), "{junit}");
}

#[test]
fn a_speedup_passes() {
    let stage = Stage::new(&program(&[("sum", 1100)], ""), &program(&[("sum", 1000)], ""));
    assert_eq!(stage.gate(&["--no-instructions"]).code, Some(0));
    assert_eq!(stage.decision("sum").0, "PASS");
}

#[test]
fn a_benchmark_on_one_side_alone_is_missing_or_added() {
    let stage =
        Stage::new(&program(&[("old", 1000), ("both", 9)], ""), &program(&[("new", 1000), ("both", 9)], ""));
    let said = stage.gate(&["--no-instructions"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert_eq!(stage.decision("old").0, "MISSING");
    assert_eq!(stage.decision("new").0, "ADDED");
    let said = stage.gate(&["--no-instructions", "--only", "new"]);
    assert_eq!(said.code, Some(0), "an added benchmark alone fails nothing: {said:?}");
}

#[test]
fn zero_and_corrupt_results_are_errors_of_their_benchmark_alone() {
    let corrupt =
        |text: &str| format!(r#"[ "$id" != bad ] || echo '{text}' >"$CRITERION_HOME/$id/new/sample.json""#);
    for (text, why) in [
        (r#"{"iters":[1.0],"times":[0.0]}"#, "took 0 ns"),
        (r#"{"iters":[1.0],"ti"#, "corrupt"),
        ("", "corrupt"),
    ] {
        let benchmarks = [("bad", 1000), ("good", 1000)];
        let stage = Stage::new(&program(&benchmarks, ""), &program(&benchmarks, &corrupt(text)));
        let said = stage.gate(&["--no-instructions"]);
        assert_eq!(said.code, Some(1), "{said:?}");
        let (verdict, reason) = stage.decision("bad");
        assert!(verdict == "ERROR" && reason.contains(why), "{verdict}: {reason}");
        assert_eq!(stage.decision("good").0, "PASS");
    }
}

#[test]
fn a_benchmark_that_fails_is_an_error_that_quotes_it() {
    let stage = Stage::new(
        &program(&[("sum", 1000)], ""),
        &program(&[("sum", 1000)], "echo 'assertion failed: total' >&2; exit 101"),
    );
    let said = stage.gate(&["--no-instructions"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let (verdict, reason) = stage.decision("sum");
    assert!(verdict == "ERROR" && reason.contains("assertion failed: total"), "{verdict}: {reason}");
}

#[test]
fn a_side_that_cannot_say_what_it_has_is_an_error() {
    let whole = program(&[("sum", 1000)], "");
    let silent = "#!/bin/sh\necho 'no data/corpus.json' >&2; exit 101\n";
    for (base, head, name) in [(silent, whole.as_str(), "base"), (&whole, silent, "head")] {
        let said = Stage::new(base, head).gate(&["--no-instructions"]);
        assert_eq!(said.code, Some(1), "{said:?}");
        let expected = format!("speed of the {name} does not list its benchmarks");
        assert!(said.stderr.contains(&expected) && said.stderr.contains("corpus.json"), "{said:?}");
    }
}

#[test]
fn a_bench_target_that_one_side_lacks_is_missing_or_added() {
    let stage = Stage::new(&program(&[("sum", 1000)], ""), &program(&[("sum", 1000)], ""));
    for (side, code, verdict) in [("base", 0, "ADDED"), ("head", 3, "MISSING")] {
        fs::write(stage.path(&format!("{side}/target-name")), "another").unwrap();
        let said = stage.gate(&["--no-instructions", "--bench", "speed"]);
        assert_eq!(said.code, Some(code), "{said:?}");
        assert_eq!(stage.decision("sum").0, verdict);
        fs::write(stage.path(&format!("{side}/target-name")), "speed").unwrap();
    }
    let said = stage.gate(&["--no-instructions", "--bench", "spede"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("spede"), "{said:?}");
}

#[test]
fn a_benchmark_that_writes_nothing_is_an_error() {
    let stage = Stage::new(
        &program(&[("sum", 1000)], ""),
        &program(&[("sum", 1000)], r#"rm -r "$CRITERION_HOME/$id""#),
    );
    let said = stage.gate(&["--no-instructions"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(stage.decision("sum").1, "criterion wrote no result for sum");
}

#[test]
fn uncommitted_changes_are_compared_with_the_revision_and_said() {
    let stage = Stage::new("", &program(&[("sum", 1000)], ""));
    stage.commit_head();
    let gate = |arguments: &[&str]| {
        ended(stage.command(&["gate", "--out", "out", "--no-instructions"]).args(arguments))
    };
    let clean = gate(&["--base", "HEAD"]);
    assert_eq!(clean.code, Some(0), "{clean:?}");
    assert!(clean.stdout.contains("identical"), "{clean:?}");

    stage.side("head", &program(&[("sum", 1100)], ""));
    let dirty = gate(&["--base", "HEAD"]);
    assert_eq!(dirty.code, Some(3), "{dirty:?}");
    assert!(dirty.stdout.contains("uncommitted changes"), "{dirty:?}");
    assert_eq!(stage.report()["head"]["dirty"], true);
    assert_eq!(stage.report()["base"]["dirty"], false);

    let worktrees =
        Command::new("git").current_dir(stage.path("head")).args(["worktree", "list"]).output().unwrap();
    assert_eq!(
        String::from_utf8(worktrees.stdout).unwrap().lines().count(),
        1,
        "the base's work tree is gone"
    );
    assert_eq!(fs::read_dir(stage.path("tmp")).unwrap().count(), 0, "nothing is left of the base");
    let built_in = stage.read("tools/built-in");
    let below_head = built_in.lines().filter(|line| Path::new(line).starts_with(stage.path("head")));
    assert_eq!(below_head.count(), 2, "the head's settings must not hold for the base: {built_in}");
}

#[test]
fn an_unknown_revision_is_named() {
    let stage = Stage::new("", &program(&[("sum", 1000)], ""));
    stage.commit_head();
    for revision in ["no-such-branch", "--all"] {
        let said = ended(&mut stage.command(&["gate", "--out", "out", &format!("--base={revision}")]));
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.stderr.contains(&format!("unknown revision {revision}")), "{said:?}");
        assert!(said.stderr.contains("hint: "), "{said:?}");
    }
}

#[test]
fn a_revision_outside_of_a_repository_is_refused() {
    let stage = Stage::new("", &program(&[("sum", 1000)], ""));
    // Should the temporary directory be within a repository, git must not find it.
    let said = ended(
        stage
            .command(&["gate", "--out", "out", "--base", "HEAD"])
            .env("GIT_CEILING_DIRECTORIES", stage.path("")),
    );
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("not in a git work tree") && said.stderr.contains("--base-dir"), "{said:?}");
}

#[test]
fn a_base_that_does_not_build_is_an_error() {
    let stage = Stage::new(&program(&[("sum", 1000)], ""), &other(&[("sum", 1000)]));
    fs::write(stage.path("base/broken"), "").unwrap();
    let said = stage.gate(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("E0425"), "cargo's own words are shown: {said:?}");
    assert!(
        said.stderr.contains("the base could not be prepared") && said.stderr.contains("does not build"),
        "{said:?}"
    );
}

#[test]
fn sides_of_two_compilers_are_not_compared() {
    let stage = Stage::new(&program(&[("sum", 1000)], ""), &other(&[("sum", 1000)]));
    fs::write(stage.path("base/compiler"), "rustc 1.50.0\n").unwrap();
    let said = stage.gate(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("rustc 1.50.0") && said.stderr.contains("RUSTUP_TOOLCHAIN"), "{said:?}");
}

#[test]
fn a_wrong_command_line_is_usage() {
    let stage = Stage::new(&program(&[("sum", 1000)], ""), &other(&[("sum", 1000)]));
    let without_a_base = ended(&mut stage.command(&["gate"]));
    assert_eq!(without_a_base.code, Some(2), "{without_a_base:?}");
    for (arguments, why) in [
        (&["--floor", "many"][..], "write a percentage"),
        (&["--floor", "5%"], "--resolution has to be above --floor"),
        (&["--blocks", "9"], "10..=1000"),
        (&["--only", "none"], "no benchmark's id contains \"none\""),
        (&["--base-dir", "nowhere"], "cannot be used multiple times"),
        (&["--head-dir", "nowhere"], "could not open nowhere"),
        (&["--head-dir", ".."], "has no Cargo.toml"),
    ] {
        let said = stage.gate(arguments);
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(why), "{arguments:?}: {said:?}");
    }
}

#[test]
fn too_few_blocks_for_a_large_suite_are_refused_before_anything_is_measured() {
    let names: Vec<String> = (0..30).map(|n| format!("b{n}")).collect();
    let benchmarks: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1000)).collect();
    let stage = Stage::new(&program(&benchmarks, ""), &other(&benchmarks));
    let said = stage.gate(&["--blocks", "10"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("--blocks 12"), "{said:?}");
}

#[test]
fn without_valgrind_time_alone_decides_and_it_is_said() {
    let stage = Stage::new(&program(&[("sum", 1000)], ""), &program(&[("sum", 1100)], ""));
    let said = stage.gate(&[]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stdout.contains("No second witness: valgrind does not run"), "{said:?}");
    assert!(stage.report()["second_witness"]["off"].is_string());
}

#[test]
fn a_valgrind_that_does_not_work_is_named_and_left_out() {
    let stage = Stage::new(&program(&[("sum", 1000)], ""), &program(&[("sum", 1100)], ""));
    for (script, why) in [
        (
            "#!/bin/sh\n[ \"$1\" = --version ] && echo valgrind-1.0 || exit 1\n",
            "valgrind-1.0 does not run callgrind",
        ),
        ("#!/bin/sh\necho valgrind-9.0\n", "valgrind-9.0 prints no count that is understood"),
    ] {
        stage.script("tools/valgrind", script);
        let said = stage.gate(&[]);
        assert_eq!(said.code, Some(3), "{said:?}");
        assert!(said.stdout.contains(why), "{said:?}");
    }
}

/// A side with a second witness: nanoseconds and instructions.
fn counted(ns: u32, instructions: u32) -> String {
    program(&[("sum", ns)], &format!("# instructions {instructions}"))
}

#[test]
fn more_instructions_confirm_a_slowdown_and_alone_they_warn() {
    let stage = Stage::new(&counted(1000, 100_000), &counted(1100, 110_000));
    stage.script("tools/valgrind", VALGRIND);
    assert_eq!(stage.gate(&[]).code, Some(3));
    let (verdict, reason) = stage.decision("sum");
    assert!(verdict == "FAIL" && reason.contains("+10.0 % instructions"), "{verdict}: {reason}");

    stage.side("head", &counted(1000, 110_000));
    assert_eq!(stage.gate(&[]).code, Some(0));
    assert_eq!(stage.decision("sum").0, "WARN");

    stage.side("head", &counted(1000, 0));
    assert_eq!(stage.gate(&[]).code, Some(1));
    assert_eq!(stage.decision("sum").0, "ERROR");
}

#[test]
fn a_slowdown_without_more_instructions_has_to_show_in_another_layout() {
    let stage = Stage::new(&counted(1000, 100_000), &counted(1100, 100_000));
    stage.script("tools/valgrind", VALGRIND);
    let said = stage.gate(&[]);
    assert_eq!(said.code, Some(4), "{said:?}");
    let (verdict, reason) = stage.decision("sum");
    assert!(verdict == "INCONCLUSIVE" && reason.contains("no other layout"), "{verdict}: {reason}");

    stage.script("base/relinked", &counted(1000, 100_000));
    stage.script("head/relinked", &counted(1100, 100_000));
    assert_eq!(stage.gate(&[]).code, Some(3));
    assert!(stage.decision("sum").1.contains("also in another code layout"));

    stage.script("head/relinked", &counted(1000, 100_000));
    assert_eq!(stage.gate(&[]).code, Some(4));
    assert!(stage.decision("sum").1.contains("not in another code layout"));
}

#[test]
fn a_machine_on_which_the_base_differs_from_itself_decides_nothing() {
    // The second copy of the base is told by its path.
    let bias = r#"case "$0" in *base-b*) echo "{\"iters\":[1.0],\"times\":[$((ns * 1050 / 1000)).0]}" >"$CRITERION_HOME/$id/new/sample.json" ;; esac"#;
    let stage = Stage::new(&program(&[("sum", 1000)], bias), &program(&[("sum", 1100)], ""));
    let said = stage.gate(&["--no-instructions"]);
    assert_eq!(said.code, Some(4), "{said:?}");
    assert!(stage.decision("sum").1.contains("the base differs from itself"), "{:?}", stage.decision("sum"));
}

#[test]
fn an_interrupted_comparison_keeps_what_it_has_and_goes_on() {
    let benchmarks = [("sum", 1000), ("sort", 500)];
    let stage = Stage::new("", "");
    let log = stage.path("runs");
    let runs = || fs::read_to_string(&log).unwrap_or_default().lines().count();
    stage.side("base", &program(&benchmarks, &counting(&log)));
    // From the fiftieth process on, each of the head's interrupts its parent, the gate.
    let (counted, go_on) = (log.display(), stage.path("go-on"));
    let interrupting = format!(
        "{}\n[ $(wc -l <'{counted}') -lt 50 ] || [ -e '{}' ] || kill -INT $PPID",
        counting(&log),
        go_on.display()
    );
    stage.side("head", &program(&benchmarks, &interrupting));

    let said = stage.gate(&["--no-instructions"]);
    assert_eq!(said.code, Some(130), "{said:?}");
    assert!(said.stdout.contains("--resume goes on"), "{said:?}");
    let report = stage.report();
    assert_eq!(report["complete"], false);
    let kept: usize = report["benchmarks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["blocks"].as_array().unwrap().len())
        .sum();
    assert!((1..30).contains(&kept), "{kept} blocks");
    assert!(stage.read("head/out/junit.xml").contains("INCOMPLETE"));

    fs::write(&go_on, "").unwrap();
    let before = runs();
    let said = stage.gate(&["--no-instructions", "--resume", "--seed", "2"]);
    assert_eq!(said.code, Some(2), "another seed is another comparison: {said:?}");
    let said = stage.gate(&["--no-instructions", "--resume"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let report = stage.report();
    assert_eq!(report["complete"], true);
    for benchmark in report["benchmarks"].as_array().unwrap() {
        assert_eq!(benchmark["blocks"].as_array().unwrap().len(), 15);
    }
    assert!(runs() - before <= (30 - kept) * 4, "blocks that were there were not measured again");
}

#[test]
fn there_has_to_be_something_to_go_on_with() {
    let stage = Stage::new(&program(&[("sum", 1000)], ""), &other(&[("sum", 1000)]));
    let said = stage.gate(&["--resume"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("nothing to go on with") && said.stderr.contains("gate.json"), "{said:?}");
}

#[test]
fn a_full_disk_ends_it_with_the_name_of_the_file() {
    let stage = Stage::new(&program(&[("sum", 1000)], ""), &other(&[("sum", 1000)]));
    // A limit on the size of files stands in for the disk: writing fails half-way, as on a full one.
    let mut shell = Command::new("sh");
    stage.surround(&mut shell);
    let said = ended(
        shell
            .args([
                "-c",
                "trap '' XFSZ; ulimit -f 4; exec \"$@\"",
                "sh",
                env!("CARGO_BIN_EXE_benches"),
                "gate",
            ])
            .args(["--base-dir", stage.path("base").to_str().unwrap(), "--out", "out", "--no-instructions"]),
    );
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("could not write") && said.stderr.contains("gate.json"), "{said:?}");
    assert_eq!(stage.report()["complete"], false, "the last whole file is still there");
    let left: Vec<_> = fs::read_dir(stage.path("head/out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.') || name.starts_with("runs-"))
        .collect();
    assert_eq!(left, Vec::<String>::new(), "nothing half-written is left");
}
