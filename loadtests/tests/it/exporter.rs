//! The generator's own listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::routing::get;
use loadtests::exporter::Exporter;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::net::TcpListener;

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

    let operator = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let first = exporter.list([9001, 9002].map(operator).into_iter(), "oversold-stock", "row-lock", "a-run");
    let server = |port, variant, key| {
        json!({
            "targets": [exporter.address.to_string()],
            "labels": {
                "exercise": "oversold-stock",
                "variant": variant,
                "run_id": "a-run",
                "instance": format!("127.0.0.1:{port}"),
                "__metrics_path__": format!("/servers/{key}"),
            },
        })
    };
    let (one, two, three) =
        (server(9001, "row-lock", 0), server(9002, "row-lock", 1), server(9003, "fixed", 2));
    assert_eq!(targets(&exporter).await, json!([one, two]));
    let second = exporter.list([9003].map(operator).into_iter(), "oversold-stock", "fixed", "a-run");
    assert_eq!(targets(&exporter).await, json!([one, two, three]));
    drop(first);
    assert_eq!(targets(&exporter).await, json!([three]));
    drop(second);
    assert_eq!(targets(&exporter).await, json!([]));
    // Whoever looked for one of these must not find another.
    let _third = exporter.list([9004].map(operator).into_iter(), "oversold-stock", "fixed", "a-run");
    assert_eq!(targets(&exporter).await, json!([server(9004, "fixed", 3)]));
}

#[tokio::test]
async fn what_a_server_does_after_the_load_is_not_shown() {
    let requests = Arc::new(AtomicU32::new(0));
    let shown = requests.clone();
    let metrics = async move || format!("requests {}", shown.fetch_add(1, Ordering::Relaxed));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let operator = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/metrics", get(metrics))).await.unwrap();
    });
    let exporter = Exporter::listen(0).await.unwrap();
    let listed = exporter.list([operator].into_iter(), "oversold-stock", "fixed", "a-run");
    let look = async || {
        let response = reqwest::get(format!("http://{}/servers/0", exporter.address)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };

    assert_eq!(look().await, (200, "requests 0".to_owned()));
    assert_eq!(look().await, (200, "requests 1".to_owned()));
    listed.freeze().await;
    assert_eq!(requests.load(Ordering::Relaxed), 3);
    assert_eq!(look().await, (200, "requests 2".to_owned()));
    server.abort();
    assert_eq!(look().await, (200, "requests 2".to_owned()));
    drop(listed);
    assert_eq!(look().await.0, 404);
}

#[tokio::test]
async fn a_server_that_is_gone_has_no_metrics() {
    let exporter = Exporter::listen(0).await.unwrap();
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let listed = exporter.list([nobody].into_iter(), "oversold-stock", "fixed", "a-run");
    let look = async || {
        reqwest::get(format!("http://{}/servers/0", exporter.address)).await.unwrap().status().as_u16()
    };
    assert_eq!(look().await, 502);
    listed.freeze().await;
    assert_eq!(look().await, 502);
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
