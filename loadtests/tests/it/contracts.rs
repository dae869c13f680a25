//! Every variant keeps its exercise's contract, unless its defect shows to a single client.

use futures::future::join_all;
use loadtests::lab::{Deployment, Lab, Setting};
use loadtests::scenarios::{AnyScenario, SCENARIOS, keeps_contract};
use serde_json::Value;
use target_app::catalogue::{KEEPS_CONTRACT, Variant};
use target_app::exercises::Variants;
use target_app::seed::Scale;

pub async fn lab() -> Lab {
    let setting = Setting { scale: Scale::Small, seed: 42, db_rtt: std::time::Duration::ZERO };
    let mut lab = Lab::open(setting, &|_| ()).await.expect("PostgreSQL");
    lab.program = env!("CARGO_BIN_EXE_stampede").into();
    lab
}

pub fn deployment<'a>(
    variants: Variants,
    replicas: usize,
    options: &'a [&str],
    name: &'a str,
) -> Deployment<'a> {
    Deployment {
        variants,
        replicas,
        port: 0,
        operator_port: 0,
        options,
        providers: Some(42),
        data_gauge: None,
        run_id: "contracts",
        logs: None,
        name,
    }
}

async fn ensure_predicted(lab: &Lab, scenario: &dyn AnyScenario, variant: &Variant) {
    let exercise = scenario.spec().exercise;
    let mut variants = Variants::FIXED;
    variants.set(exercise.id, variant.name).unwrap();
    let spec = scenario.spec();
    let deployment = deployment(variants, spec.shape.replicas, spec.server, variant.name);
    let servers = lab.deploy(&deployment).await.expect("the servers start");
    let contract = keeps_contract(scenario, &servers.api().unwrap()).await.unwrap();
    servers.discard().await.unwrap();
    let must_break = variant.must_fail.contains(&KEEPS_CONTRACT.name);
    assert_eq!(contract.held, !must_break, "{} {}: {contract:#?}", exercise.id, variant.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_variant_keeps_the_contract_or_is_predicted_to_break_it() {
    let lab = lab().await;
    for scenario in SCENARIOS {
        let variants = scenario.spec().exercise.variants.iter();
        join_all(variants.map(|variant| ensure_predicted(&lab, *scenario, variant))).await;
    }
    lab.close().await.unwrap();
}

#[tokio::test]
async fn a_server_has_the_options_of_its_scenario() {
    let lab = lab().await;
    let deployment = deployment(Variants::FIXED, 1, &["--pool-size", "3"], "options");
    let servers = lab.deploy(&deployment).await.expect("the server starts");
    let operator = servers.addresses().next().expect("one").operator;
    let info: Value = reqwest::get(format!("http://{operator}/info")).await.unwrap().json().await.unwrap();
    servers.discard().await.unwrap();
    lab.close().await.unwrap();
    assert_eq!(info["pool_size"], 3);
}
