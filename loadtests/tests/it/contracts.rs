//! Every variant keeps its exercise's contract, unless its defect shows to a single client.

use futures::future::join_all;
use loadtests::lab::{Deployment, Lab, Setting};
use loadtests::scenarios::{AnyScenario, SCENARIOS, keeps_contract};
use target_app::catalogue::{KEEPS_CONTRACT, Variant};
use target_app::exercises::Variants;
use target_app::seed::Scale;

async fn ensure_predicted(lab: &Lab, scenario: &dyn AnyScenario, variant: &Variant) {
    let exercise = scenario.spec().exercise;
    let mut variants = Variants::FIXED;
    variants.set(exercise.id, variant.name).unwrap();
    let deployment = Deployment {
        variants,
        replicas: scenario.spec().shape.replicas,
        port: 0,
        operator_port: 0,
        data_gauge: None,
        run_id: "contracts",
        logs: None,
        name: variant.name,
    };
    let servers = lab.deploy(&deployment).await.expect("the servers start");
    let contract = keeps_contract(scenario, &servers.api().unwrap()).await.unwrap();
    servers.discard().await.unwrap();
    let must_break = variant.must_fail.contains(&KEEPS_CONTRACT.name);
    assert_eq!(contract.held, !must_break, "{} {}: {contract:#?}", exercise.id, variant.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_variant_keeps_the_contract_or_is_predicted_to_break_it() {
    let setting = Setting { scale: Scale::Small, seed: 42, db_rtt: std::time::Duration::ZERO };
    let mut lab = Lab::open(setting, &|_| ()).await.expect("PostgreSQL");
    lab.program = env!("CARGO_BIN_EXE_stampede").into();
    for scenario in SCENARIOS {
        let variants = scenario.spec().exercise.variants.iter();
        join_all(variants.map(|variant| ensure_predicted(&lab, *scenario, variant))).await;
    }
    lab.close().await.unwrap();
}
