//! The dashboards in a real Grafana, on a real Prometheus, under a real load: PostgreSQL, Prometheus and Grafana from the
//! images that `docker/compose.yaml` names, and `stampede compare` beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Client;
use serde_json::{Value, json};
use testcontainers::core::client::{ClientError, docker_client_instance};
use testcontainers::core::{CopyDataSource, Healthcheck, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt, TestcontainersError};
use tokio::process::Command;

use dashboards::prometheus::GENERATOR_ADDRESS;

use super::compose::compose;
use super::read;
use crate::support::{dashboards, list, panels, root, skipped, text};

/// Longer than an image takes to start, and than the load takes to end.
const DEADLINE: Duration = Duration::from_secs(300);

/// Between two looks at what has no data yet.
const LOOK: Duration = Duration::from_secs(2);

/// Needs a container engine that can pull images.
///
/// `STAMPEDE_REQUIRE=all` does not turn the want of one into a failure: it asks for what a package brings, and images come
/// from a registry that a machine may not reach. `STAMPEDE_REQUIRE_ENGINE=1` does. Whatever fails once there are an engine
/// and the images, fails the test.
#[tokio::test(flavor = "multi_thread")]
async fn every_panel_has_data_in_grafana() {
    if !cfg!(target_os = "linux") {
        return skipped(
            "every_panel_has_data_in_grafana",
            "containers share the host's network on Linux only",
        );
    }
    let stack = match Stack::start().await {
        Ok(stack) => stack,
        Err(error) => match excuse(&error) {
            Some(why) if std::env::var("STAMPEDE_REQUIRE_ENGINE").as_deref() != Ok("1") => {
                let why = format!("it needs a container engine that can pull images: {why}");
                return skipped("every_panel_has_data_in_grafana", &why);
            }
            _ => panic!("the stack did not start: {error}"),
        },
    };

    let mut without_data = stack.queries().await;
    assert!(!without_data.is_empty(), "Grafana has no panels");
    let began = milliseconds();
    let (mut load, _results) = stack.load();
    let status = tokio::time::timeout(DEADLINE, async {
        loop {
            // Asked before the look, so that the last look comes after the end.
            let ended = load.try_wait().expect("the state of the load");
            let mut waiting = Vec::new();
            for query in without_data.drain(..) {
                if !has_data(&stack.ask(&query, began).await) {
                    waiting.push(query);
                }
            }
            without_data = waiting;
            if let Some(status) = ended {
                return status;
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    let status = status.await.expect("the load ends");
    assert!(
        without_data.is_empty(),
        "panels without data after a load that ended with {status}: {without_data:#?}"
    );
}

/// Why there is no stack, when that is nobody's mistake: no engine, or no image.
fn excuse(error: &TestcontainersError) -> Option<String> {
    match error {
        TestcontainersError::Client(
            error
            @ (ClientError::Init(_) | ClientError::PullImage { .. } | ClientError::InvalidDockerHost(_)),
        ) => Some(error.to_string()),
        _ => None,
    }
}

/// Containers on the host's network, listening on loopback. They end when this is dropped.
struct Stack {
    _containers: [ContainerAsync<GenericImage>; 3],
    http: Client,
    grafana: String,
    postgres: u16,
    generator: u16,
    datasource: String,
}

impl Stack {
    async fn start() -> Result<Self, TestcontainersError> {
        // A socket without an engine behind it is found out only by asking.
        let engine = docker_client_instance().await?;
        engine.ping().await.map_err(ClientError::Init)?;

        let [postgres, prometheus, grafana, generator] = free_ports();
        let containers = [
            database(postgres).start().await?,
            metrics(prometheus, generator).start().await?,
            drawing(grafana, prometheus).start().await?,
        ];
        let provisioned: Value =
            serde_saphyr::from_str(&read("dashboards/provisioning/datasources/prometheus.yaml"))
                .expect("YAML");
        Ok(Stack {
            _containers: containers,
            http: Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().expect("a client"),
            grafana: format!("http://127.0.0.1:{grafana}"),
            postgres,
            generator,
            datasource: text(&provisioned["datasources"][0]["uid"]).to_owned(),
        })
    }

    /// The load, and the directory for its results.
    fn load(&self) -> (tokio::process::Child, tempfile::TempDir) {
        let results = tempfile::tempdir().expect("a directory for temporary files");
        let load = Command::new(stampede())
            .args(["compare", "--all", "--quick", "--metrics-port", &self.generator.to_string(), "--out"])
            .arg(results.path())
            .env("DATABASE_URL", format!("postgres://stampede@127.0.0.1:{}/postgres", self.postgres))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the load starts");
        (load, results)
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}{path}", self.grafana)).send().await.expect("an answer");
        answer.error_for_status().expect("a success").json().await.expect("JSON")
    }

    /// The queries of every panel of every dashboard, as Grafana has them: what was not provisioned is missing.
    async fn queries(&self) -> Vec<PanelQuery> {
        let expected: BTreeSet<String> =
            dashboards().iter().map(|(_, dashboard)| text(&dashboard["uid"]).to_owned()).collect();
        let read_in = tokio::time::timeout(DEADLINE, async {
            loop {
                let found = self.get("/api/search?type=dash-db").await;
                let uids = list(&found).iter().map(|hit| text(&hit["uid"]).to_owned());
                if uids.collect::<BTreeSet<_>>() == expected {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        read_in.await.expect("Grafana reads the dashboards");
        let mut queries = Vec::new();
        for uid in expected {
            queries
                .extend(panel_queries(&self.get(&format!("/api/dashboards/uid/{uid}")).await["dashboard"]));
        }
        queries
    }

    /// What Grafana answers for the time from `began` until now.
    async fn ask(&self, query: &PanelQuery, began: u128) -> Value {
        let body = json!({
            "from": began.to_string(),
            "to": milliseconds().to_string(),
            "queries": [{
                "refId": "A",
                "datasource": { "type": "prometheus", "uid": self.datasource },
                "expr": query.expr,
                "instant": query.instant,
                "range": !query.instant,
                "intervalMs": 1000,
                "maxDataPoints": 500,
            }],
        });
        let answer = self.http.post(format!("{}/api/ds/query", self.grafana)).json(&body).send().await;
        let answer: Value = answer.expect("an answer").json().await.expect("JSON");
        let error = &answer["results"]["A"]["error"];
        assert!(error.is_null() && answer["results"]["A"].is_object(), "{query:?}: {answer}");
        answer
    }
}

fn database(port: u16) -> ContainerRequest<GenericImage> {
    let probe = ["pg_isready", "--host=127.0.0.1", &format!("--port={port}"), "--username=stampede"]
        .map(str::to_owned);
    container("postgres", probe)
        .with_cmd([
            "postgres".to_owned(),
            format!("-cport={port}"),
            "-clisten_addresses=127.0.0.1".to_owned(),
        ])
        .with_env_var("POSTGRES_USER", "stampede")
        .with_env_var("POSTGRES_HOST_AUTH_METHOD", "trust")
}

fn metrics(port: u16, generator: u16) -> ContainerRequest<GenericImage> {
    let configuration = read("dashboards/prometheus/prometheus.yml");
    assert!(configuration.contains(GENERATOR_ADDRESS));
    let configuration = configuration.replace(GENERATOR_ADDRESS, &format!("127.0.0.1:{generator}"));
    let url = format!("--url=http://127.0.0.1:{port}");
    container("prometheus", ["promtool", "check", "ready", &url].map(str::to_owned))
        .with_cmd([
            "--config.file=/etc/prometheus/prometheus.yml".to_owned(),
            "--storage.tsdb.path=/prometheus".to_owned(),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ])
        .with_copy_to("/etc/prometheus/prometheus.yml", configuration.into_bytes())
        .with_copy_to("/etc/prometheus/rules", source("dashboards/prometheus/rules"))
}

fn drawing(port: u16, prometheus: u16) -> ContainerRequest<GenericImage> {
    let url = format!("http://127.0.0.1:{port}/api/health");
    let mut container = container("grafana", ["wget", "-q", "-O", "/dev/null", &url].map(str::to_owned));
    for (name, value) in &compose().services["grafana"].environment {
        container = container.with_env_var(name, value);
    }
    container
        .with_env_var("GF_SERVER_HTTP_ADDR", "127.0.0.1")
        .with_env_var("GF_SERVER_HTTP_PORT", port.to_string())
        .with_env_var("STAMPEDE_PROMETHEUS_URL", format!("http://127.0.0.1:{prometheus}"))
        .with_env_var("STAMPEDE_DASHBOARDS", "/etc/grafana/stampede")
        .with_copy_to("/etc/grafana/provisioning", source("dashboards/provisioning"))
        .with_copy_to("/etc/grafana/stampede", source("dashboards/grafana"))
}

/// The image of a service of the stack, on the host's network, ready as soon as the probe succeeds.
fn container(service: &str, probe: impl IntoIterator<Item = String>) -> ContainerRequest<GenericImage> {
    let image = &compose().services[service].image;
    let (name, tag) = image.rsplit_once(':').expect("an image with a tag");
    let health = Healthcheck::cmd(probe).with_interval(Duration::from_secs(1)).with_retries(60);
    GenericImage::new(name, tag)
        .with_wait_for(WaitFor::healthcheck())
        .with_health_check(health)
        .with_network("host")
        .with_startup_timeout(DEADLINE)
}

fn source(path: &str) -> CopyDataSource {
    CopyDataSource::File(root().join(path))
}

/// Ports that were free a moment ago. They are held together, so that no two are the same.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    held.map(|listener| listener.local_addr().expect("its address").port())
}

fn milliseconds() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis()
}

/// The command under test, built for the same profile as this test.
fn stampede() -> PathBuf {
    let program = std::env::current_exe().expect("this program's own path");
    let folder = program.ancestors().nth(2).expect("it is in the folder `deps` of the profile's");
    let binary = folder.join("stampede");
    assert!(
        binary.is_file(),
        "{} is not built; run cargo test --workspace, or cargo build first",
        binary.display()
    );
    binary
}

/// One query of one panel, its variables at their defaults.
#[derive(Debug, PartialEq, Eq)]
struct PanelQuery {
    /// Dashboard and panel, for messages.
    place: String,
    expr: String,
    /// Asked for one moment instead of a time range.
    instant: bool,
}

/// The queries of a dashboard's panels. Grafana's own variables, such as `$__rate_interval`, stay for Grafana; the
/// dashboard's are filled in by the browser, and so here.
fn panel_queries(dashboard: &Value) -> Vec<PanelQuery> {
    let uid = text(&dashboard["uid"]);
    let variables = list(&dashboard["templating"]["list"]).iter();
    let all: BTreeMap<&str, &str> = variables
        .filter_map(|variable| Some((variable["name"].as_str()?, variable["allValue"].as_str()?)))
        .collect();
    let filled = |expr: &str| {
        all.iter().fold(expr.to_owned(), |expr, (name, value)| expr.replace(&format!("${name}"), value))
    };
    let targets =
        panels(dashboard).flat_map(|panel| list(&panel["targets"]).iter().map(move |target| (panel, target)));
    let query = targets.map(|(panel, target)| PanelQuery {
        place: format!("{uid}: {}", text(&panel["title"])),
        expr: filled(text(&target["expr"])),
        instant: target["instant"] == true,
    });
    query.collect()
}

/// Whether there is a value in an answer of `/api/ds/query`: the first column of a frame is the time.
fn has_data(answer: &Value) -> bool {
    let results = answer["results"].as_object().into_iter().flatten();
    let frames = results.flat_map(|(_, result)| list(&result["frames"]));
    let columns = frames.flat_map(|frame| list(&frame["data"]["values"]).iter().skip(1));
    columns.flat_map(list).any(|value| !value.is_null())
}

#[test]
fn the_variables_of_all_dashboards_can_be_filled() {
    let mut queries = 0;
    for (_, dashboard) in dashboards() {
        for PanelQuery { place, expr, .. } in panel_queries(&dashboard) {
            queries += 1;
            assert!(
                !expr.replace("$__rate_interval", "").replace("$__range", "").contains('$'),
                "{place}: {expr}"
            );
        }
    }
    assert!(queries > 0);
}

#[test]
fn a_dashboards_variables_are_filled_and_grafanas_are_left() {
    let dashboard = json!({
        "uid": "one",
        "templating": { "list": [{ "name": "datasource" }, { "name": "job", "allValue": ".+" }] },
        "panels": [
            { "title": "A heading", "type": "row" },
            { "title": "Two", "targets": [
                { "expr": "rate(a{job=~\"$job\"}[$__rate_interval])" },
                { "expr": "b", "instant": true },
            ] },
        ],
    });
    let query = |expr: &str, instant| PanelQuery { place: "one: Two".into(), expr: expr.into(), instant };
    assert_eq!(
        panel_queries(&dashboard),
        [query("rate(a{job=~\".+\"}[$__rate_interval])", false), query("b", true)]
    );
}

#[test]
fn an_answer_has_data_when_it_has_a_value_beside_the_time() {
    let answer =
        |values: Value| json!({ "results": { "A": { "frames": [{ "data": { "values": values } }] } } });
    assert!(has_data(&answer(json!([[1, 2], [null, 0.0]]))));
    for nothing in [json!([]), json!([[1, 2]]), json!([[], []]), json!([[1, 2], [null, null]])] {
        assert!(!has_data(&answer(nothing.clone())), "{nothing}");
    }
    assert!(!has_data(&json!({ "results": { "A": { "frames": [] } } })));
}

#[test]
fn only_a_missing_engine_or_image_is_an_excuse() {
    let said = || testcontainers::bollard::errors::Error::SocketNotFoundError("nowhere".into());
    let missing = ClientError::PullImage { descriptor: "grafana/grafana".into(), err: said() };
    for excused in [ClientError::Init(said()), missing] {
        assert!(excuse(&excused.into()).is_some_and(|why| why.contains("nowhere")));
    }
    for failed in [ClientError::CreateContainer(said()), ClientError::StartContainer(said())] {
        assert_eq!(excuse(&failed.into()), None);
    }
}
