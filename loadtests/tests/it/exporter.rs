//! The generator's own listener.

use std::net::SocketAddr;

use loadtests::exporter::Exporter;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

async fn targets(exporter: &Exporter) -> Value {
    let url = format!("http://{}/targets", exporter.address);
    let response = reqwest::get(url).await.unwrap();
    // Prometheus refuses any other.
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn servers_are_listed_as_long_as_they_run() {
    let exporter = Exporter::listen(0).await.unwrap();
    assert_eq!(targets(&exporter).await, json!([]));

    let operators = || [9001, 9002].map(|port| SocketAddr::from(([127, 0, 0, 1], port))).into_iter();
    let first = exporter.list(operators(), "oversold-stock", "row-lock", "a-run");
    let group = |variant| {
        json!({
            "targets": ["127.0.0.1:9001", "127.0.0.1:9002"],
            "labels": {
                "exercise": "oversold-stock",
                "variant": variant,
                "run_id": "a-run",
                "__metrics_path__": "/metrics",
            },
        })
    };
    assert_eq!(targets(&exporter).await, json!([group("row-lock")]));
    let second = exporter.list(operators(), "oversold-stock", "fixed", "a-run");
    assert_eq!(targets(&exporter).await, json!([group("row-lock"), group("fixed")]));
    drop(first);
    assert_eq!(targets(&exporter).await, json!([group("fixed")]));
    drop(second);
    assert_eq!(targets(&exporter).await, json!([]));
}

#[tokio::test]
async fn it_listens_on_loopback_alone_and_not_on_a_port_that_is_taken() {
    let exporter = Exporter::listen(0).await.unwrap();
    assert!(exporter.address.ip().is_loopback());
    let Err(error) = Exporter::listen(exporter.address.port()).await else {
        panic!("one port cannot have two listeners")
    };
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}
