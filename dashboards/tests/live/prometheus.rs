//! A Prometheus of the test's own, and questions to it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use dashboards::prometheus::{GENERATOR_ADDRESS, SERVE_ADDRESS};
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

const PROGRAM: &str = "prometheus";

/// Longer than anything that is waited for takes.
const DEADLINE: Duration = Duration::from_secs(20);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Whether this machine has one.
pub fn is_there() -> bool {
    let mut version = std::process::Command::new(PROGRAM);
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// A server that ends when it is dropped, and its data with it.
pub struct Prometheus {
    _process: Child,
    _data: TempDir,
    url: String,
    client: Client,
}

/// One series: its labels, and its samples as seconds and values.
#[derive(Debug)]
pub struct Series {
    pub labels: Value,
    pub samples: Vec<(f64, f64)>,
}

impl Prometheus {
    /// Starts one with the generated configuration, which scrapes the load generator at `generator`.
    pub async fn start(generator: SocketAddr) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        dashboards::generate().write(data.path()).expect("the generated files");
        let configuration = data.path().join("dashboards/prometheus/prometheus.yml");
        let nobody = "127.0.0.1:1";
        let text = std::fs::read_to_string(&configuration)
            .expect("the configuration")
            .replace(GENERATOR_ADDRESS, &generator.to_string())
            // Neither a server of somebody who works on this machine, nor the pager of that person.
            .replace(SERVE_ADDRESS, nobody)
            .replace("127.0.0.1:9093", nobody);
        std::fs::write(&configuration, text).expect("the configuration can be changed");

        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let process = Command::new(PROGRAM)
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", data.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("Prometheus starts");
        let client = Client::builder().no_proxy().timeout(DEADLINE).build().expect("a client");
        let prometheus =
            Prometheus { _process: process, _data: data, url: format!("http://{address}"), client };
        let ready = format!("{}/-/ready", prometheus.url);
        until("Prometheus is ready", async || {
            let answer = prometheus.client.get(&ready).send().await;
            answer.is_ok_and(|answer| answer.status().is_success()).then_some(())
        })
        .await;
        prometheus
    }

    /// All samples of an expression from `start` to `end`, in seconds, one second apart.
    pub async fn range(&self, expr: &str, start: f64, end: f64) -> Vec<Series> {
        let parameters = [
            ("query", expr.to_owned()),
            ("start", format!("{start:.3}")),
            ("end", format!("{end:.3}")),
            ("step", "1".to_owned()),
        ];
        self.ask("query_range", &parameters).await
    }

    /// The samples that were written for a selector in the last `seconds` before `end`.
    pub async fn samples(&self, selector: &str, seconds: f64, end: f64) -> Vec<Series> {
        let parameters =
            [("query", format!("{selector}[{:.0}s]", seconds.ceil())), ("time", format!("{end:.3}"))];
        self.ask("query", &parameters).await
    }

    async fn ask(&self, endpoint: &str, parameters: &[(&str, String)]) -> Vec<Series> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/{endpoint}", self.url), parameters)
            .expect("a URL");
        let answer = self.client.get(url).send().await.expect("an answer").text().await.expect("text");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        let result = answer["data"]["result"].as_array().expect("series");
        result
            .iter()
            .map(|series| Series {
                labels: series["metric"].clone(),
                samples: series["values"].as_array().into_iter().flatten().map(sample).collect(),
            })
            .collect()
    }
}

fn sample(pair: &Value) -> (f64, f64) {
    let value = pair[1].as_str().and_then(|value| value.parse().ok()).expect("a value");
    (pair[0].as_f64().expect("a time"), value)
}

/// What `look` finds, as soon as it finds something. Panics after a while.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited in vain until: {what}");
        tokio::time::sleep(LOOK).await;
    }
}
