//! Grafana: the dashboards and how Grafana finds them.

mod dashboard;
mod exercise;
mod load_generator;
mod overview;
mod panel;
mod saturation;

pub use dashboard::{Dashboard, Section, with_all_chosen};
pub use panel::{Kind, Panel, Query};

use target_app::exercises::EXERCISES;

use crate::docs::Docs;
use crate::prometheus::{GENERATED, INTERVAL};

/// All of them, the exercises in catalogue order.
pub fn dashboards(docs: &Docs) -> Vec<Dashboard> {
    let general = [overview::dashboard(), saturation::dashboard(), load_generator::dashboard()];
    general.into_iter().chain(EXERCISES.iter().map(|exercise| exercise::dashboard(exercise, docs))).collect()
}

/// What tells Grafana where Prometheus and the dashboards are.
pub fn provisioning() -> [(&'static str, String); 2] {
    let datasource = format!(
        "{GENERATED}
apiVersion: 1

datasources:
  - name: Prometheus
    uid: stampede-prometheus
    type: prometheus
    access: proxy
    # Set where Grafana is started, such as http://127.0.0.1:9090.
    url: $STAMPEDE_PROMETHEUS_URL
    isDefault: true
    editable: false
    jsonData:
      httpMethod: POST
      # What Prometheus scrapes in; `$__rate_interval` is made from it.
      timeInterval: {INTERVAL}
"
    );
    let dashboards = format!(
        "{GENERATED}
apiVersion: 1

providers:
  - name: stampede
    folder: Stampede
    type: file
    allowUiUpdates: false
    options:
      # Set where Grafana is started: the folder that holds this project's dashboards/grafana/*.json.
      path: $STAMPEDE_DASHBOARDS
"
    );
    [
        ("dashboards/provisioning/datasources/prometheus.yaml", datasource),
        ("dashboards/provisioning/dashboards/stampede.yaml", dashboards),
    ]
}
