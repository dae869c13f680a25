use target_app::exercises::double_charge::{EXERCISE, Variant};

use crate::support::TestServer;

#[tokio::test]
async fn the_symptom_shows_unless_it_is_fixed() {
    for variant in Variant::ALL.iter().copied() {
        let server = TestServer::of(&EXERCISE, variant.entry()).await;
        assert_eq!(shows_the_symptom(&server).await, variant != Variant::Fixed, "{variant:?}");
    }
}

/// Without a clock: count statements, hold a row lock, or look at the data afterwards.
async fn shows_the_symptom(_server: &TestServer) -> bool {
    // TODO: `server.statements(…)`, or whatever shows it every time.
    panic!("{}: write the symptom test in {}: make the defect show without a clock", EXERCISE.id, file!())
}
