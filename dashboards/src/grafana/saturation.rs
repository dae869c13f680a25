//! What the servers run out of: utilisation, saturation, errors of each resource.

use super::dashboard::{Dashboard, Section};
use super::panel::Panel;
use crate::objectives::{POOL_WAIT_SECONDS, RUNTIME_LAG_SECONDS};
use crate::promql::{quantile, rate};

pub fn dashboard() -> Dashboard {
    let per_server = "{{variant}} {{instance}}";
    let lag = |q| quantile(q, "stampede_runtime_lag_seconds", "variant", &[]);
    let by_statement = "variant, db_query_summary";
    Dashboard {
        uid: "stampede-saturation".into(),
        title: "Stampede: saturation".into(),
        description: "What a server runs out of: processor, async workers, connections to the database. For each: how much is used, who \
                      waits, what fails."
            .into(),
        chosen_from: "http_server_active_requests",
        exercise: None,
        sections: vec![
            Section {
                title: "Processor and runtime".into(),
                panels: vec![
                    Panel::lines("Processors used", "Processor seconds per second: 1 is one processor all the time.", "short")
                        .query("sum by (variant, instance) (rate(stampede_process_cpu_seconds_total{$scope}[$window]))", per_server),
                    Panel::lines("Runtime lag", "How long a worker was busy with the same few tasks. Whatever waits for that worker waits as long.", "s")
                        .query(lag(0.5), "{{variant}} p50")
                        .query(lag(0.99), "{{variant}} p99")
                        .limit(RUNTIME_LAG_SECONDS),
                    Panel::heatmap("Runtime lag, all of it", "Every measurement of the lag, in the buckets of the histogram.", "cps")
                        .query(rate("stampede_runtime_lag_seconds_bucket", "le", &[]), "{{le}}"),
                    Panel::lines("Tasks and their queue", "Tasks of the runtime that are alive, and those in its global queue, which wait for a worker.", "short")
                        .query("sum by (variant, instance) (tokio_live_tasks{$scope})", "{{variant}} {{instance}} alive")
                        .query("sum by (variant, instance) (tokio_global_queue_depth{$scope})", "{{variant}} {{instance}} queued"),
                    Panel::lines("Workers busy", "Share of the workers' time that they were busy. 100 % for long means that ready tasks wait.", "percentunit")
                        .query("max by (variant, instance) (tokio_busy_ratio{$scope})", per_server),
                    Panel::lines("Requests in flight", "Requests that are being answered now.", "short")
                        .query("sum by (variant, instance) (http_server_active_requests{$scope})", per_server),
                ],
            },
            Section {
                title: "Connections to the database".into(),
                panels: vec![
                    Panel::lines("Pool used", "Share of the connections that are in use. 100 % is not bad in itself; it is when somebody waits.", "percentunit")
                        .query(
                            r#"sum by (variant, instance) (db_client_connections{$scope, state="used"}) / sum by (variant, instance) (db_client_connection_max{$scope})"#,
                            per_server,
                        ),
                    Panel::lines("Waiting for a connection", "Requests that wait at a time, on average over the last 2 s. A wait is counted when it ends.", "short")
                        .query("sum by (variant, instance) (db_client_connection_pending_requests{$scope})", per_server),
                    Panel::lines("Wait for a connection", "How long a request waits for the pool.", "s")
                        .query(quantile(0.5, "db_client_connection_wait_time_seconds", "variant", &[]), "{{variant}} p50")
                        .query(quantile(0.99, "db_client_connection_wait_time_seconds", "variant", &[]), "{{variant}} p99")
                        .limit(POOL_WAIT_SECONDS),
                    Panel::lines("Hold of a connection", "How long a connection is kept by whoever has it. Long holds make others wait.", "s")
                        .query(quantile(0.5, "db_client_connection_use_time_seconds", "variant", &[]), "{{variant}} p50")
                        .query(quantile(0.99, "db_client_connection_use_time_seconds", "variant", &[]), "{{variant}} p99"),
                    Panel::lines("Gave up waiting", "Requests per second that waited for a connection until their patience was over.", "reqps")
                        .query(rate("db_client_connection_timeouts_total", "variant, instance", &[]), per_server)
                        .limit(0.0),
                ],
            },
            Section {
                title: "Statements".into(),
                panels: vec![
                    Panel::lines("Statements", "SQL statements per second, by what they do.", "ops")
                        .query(rate("db_client_operation_duration_seconds_count", by_statement, &[]), "{{variant}} {{db_query_summary}}")
                        .size(12, 9),
                    Panel::lines("Statement p99", "By the server's clock, the way to the database and back included.", "s")
                        .query(quantile(0.99, "db_client_operation_duration_seconds", by_statement, &[]), "{{variant}} {{db_query_summary}}")
                        .size(12, 9),
                ],
            },
        ],
    }
}
