//! The measurement of the gate's own error rates, on a benchmark that takes exactly as long as it should.

use std::fs;

use serde_json::Value;

use super::fakes::{Stage, ended, program};

/// The known work, and criterion's verdict on two processes of it.
const KNOWN_WORK: &str = r#"
ns=$((1000 * (100 + ${SELF_TEST_EXTRA_PERCENT:-0})))
time=$((ns * (1000 + $$ % 9)))
case "$*" in
*--load-baseline*) echo 'known-work change: [] Performance has regressed.' ;;
*) echo "{\"iters\":[1000.0],\"times\":[$time.0]}" >"$CRITERION_HOME/$id/new/sample.json" ;;
esac
"#;

#[test]
fn rates_are_counted_and_written_beside_the_raw_data() {
    let stage = Stage::new("", &program(&[("known-work", 1)], KNOWN_WORK));
    fs::write(stage.path("head/target-name"), "self_test").unwrap();
    fs::write(stage.path("head/doc.md"), "Rates:\n<!-- self-test: begin -->\nold\n<!-- self-test: end -->\n")
        .unwrap();
    let said = ended(&mut stage.command(&[
        "self-test",
        "--decisions",
        "10",
        "--loaded-decisions",
        "0",
        "--slowdowns",
        "10",
        "--blocks",
        "10",
        "--out",
        "out",
        "--doc",
        "doc.md",
    ]));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("| idle | the same program | 10 | 0 |"), "{said:?}");
    assert!(said.stdout.contains("| idle | +10 % work | 1 | 1 |"), "{said:?}");
    assert!(said.stdout.contains("idle: 0 of 1"), "a suite of equal programs stays green: {said:?}");
    let document = stage.read("head/doc.md");
    assert!(document.starts_with("Rates:\n") && document.contains("+10 % work") && !document.contains("old"));
    let raw: Value = serde_json::from_str(&stage.read("head/out/self-test.json")).unwrap();
    let trials = raw["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 11);
    assert!(trials.iter().all(|trial| trial["blocks"].as_array().unwrap().len() == 10));
    assert!(trials.iter().all(|trial| trial["criterion"] == "regressed"));
}

#[test]
fn a_run_goes_on_where_an_earlier_one_of_the_same_options_ended() {
    let stage = Stage::new("", &program(&[("known-work", 1)], KNOWN_WORK));
    fs::write(stage.path("head/target-name"), "self_test").unwrap();
    let self_test = |more: &[&str]| {
        let plan = [
            "self-test",
            "--decisions",
            "20",
            "--loaded-decisions",
            "0",
            "--slowdowns",
            "10",
            "--out",
            "out",
        ];
        ended(&mut stage.command(&[&plan, more].concat()))
    };
    let said = self_test(&["--blocks", "10", "--resume"]);
    assert!(said.code == Some(1) && said.stderr.contains("self-test.json"), "{said:?}");

    assert_eq!(self_test(&["--blocks", "10"]).code, Some(0));
    let path = stage.path("head/out/self-test.json");
    let mut raw: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let first: Vec<Value> = raw["trials"].as_array().unwrap()[..11].to_vec();
    raw["trials"] = first.clone().into();
    fs::write(&path, raw.to_string()).unwrap();

    let said = self_test(&["--blocks", "10", "--resume"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("| idle | the same program | 20 | 0 |"), "{said:?}");
    let raw: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(raw["trials"].as_array().unwrap()[..11], first[..], "what was measured stays");

    let said = self_test(&["--blocks", "11", "--resume"]);
    assert!(said.code == Some(1) && said.stderr.contains("other options"), "{said:?}");
}

#[test]
fn no_cycle_begins_that_would_end_too_late() {
    let stage = Stage::new("", &program(&[("known-work", 1)], KNOWN_WORK));
    fs::write(stage.path("head/target-name"), "self_test").unwrap();
    let said = ended(&mut stage.command(&[
        "self-test",
        "--decisions",
        "1000",
        "--loaded-decisions",
        "0",
        "--slowdowns",
        "10",
        "--blocks",
        "10",
        "--out",
        "out",
        "--time-budget",
        "1ms",
    ]));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("Fewer decisions were made than were asked for"), "{said:?}");
}
