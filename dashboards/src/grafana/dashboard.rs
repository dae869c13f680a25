//! A dashboard: variables, annotations, links, and the grid that panels flow into.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use target_app::catalogue::{Exercise, Kind};

use super::panel::{COLUMNS, Panel, Position, Query, datasource, named};
use crate::promql::Scope;

/// The newest version of the classic schema; newer Grafanas read it, and provisioning takes no other.
const SCHEMA_VERSION: u32 = 42;

/// Up to this width, an object or a list of the JSON takes one line.
const LINE_WIDTH: usize = 180;

/// Matchers for what the reader of the dashboard chose.
const CHOSEN: &str = r#"job=~"$job", instance=~"$instance", variant=~"$variant""#;

/// Of all alerts, those that somebody is woken for. The watchdog, which fires always, is none of them.
const URGENT: &str = r#"alertname=~"Stampede.+", severity="critical""#;

/// A dashboard before it is JSON.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// Stable name in addresses and file names. For an exercise, its id.
    pub uid: String,
    /// Shown in lists.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// Metrics whose labels fill the choice of jobs, instances and variants, in the notation of a regular expression.
    pub chosen_from: &'static str,
    /// The exercise that it is about. It then leaves out servers that run another one, and shows this exercise's alert:
    /// each alert paints an area while it fires, so the others show what is urgent, and only when somebody asks for it.
    pub exercise: Option<&'static Exercise>,
    /// Sections from top to bottom.
    pub sections: Vec<Section>,
}

/// Panels under a heading.
#[derive(Debug, Clone)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// They flow from left to right, then into the next line.
    pub panels: Vec<Panel>,
}

/// An expression of a dashboard as Prometheus gets it when everything is chosen, with the shortest range of a rate.
pub fn with_all_chosen(expr: &str) -> String {
    [("$job", ".+"), ("$instance", ".+"), ("$variant", ".*"), ("$__rate_interval", "4s")]
        .iter()
        .fold(expr.to_owned(), |expr, (variable, value)| expr.replace(variable, value))
}

impl Dashboard {
    /// What fills the open places of its queries.
    pub fn scope(&self) -> Scope {
        let selector = match self.exercise {
            // A server that runs this exercise, or one that is not told which it runs.
            Some(exercise) => format!(r#"{CHOSEN}, exercise=~"|{}""#, exercise.id),
            None => CHOSEN.to_owned(),
        };
        Scope::new(selector, "$__rate_interval")
    }

    /// Every query, with the panel that it is of.
    pub fn queries(&self) -> impl Iterator<Item = (&Panel, &Query)> {
        let panels = self.sections.iter().flat_map(|section| &section.panels);
        panels.flat_map(|panel| panel.queries.iter().map(move |query| (panel, query)))
    }

    /// Grafana's JSON. Whatever it leaves out has Grafana's default, which Grafana fills in when it loads a dashboard.
    pub fn json(&self) -> String {
        let dashboard = json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["stampede"],
            "schemaVersion": SCHEMA_VERSION,
            "editable": false,
            // A crosshair on all panels at once: what happened here when that happened there?
            "graphTooltip": 1,
            "time": { "from": "now-5m", "to": "now" },
            "refresh": "5s",
            "links": self.links(),
            "annotations": { "list": self.annotations() },
            "templating": { "list": self.variables() },
            "panels": self.panels(),
        });
        layout(&dashboard, 0) + "\n"
    }

    fn panels(&self) -> Vec<Value> {
        let scope = self.scope();
        let colors = self.colors();
        let mut placed = Vec::new();
        let mut y = 0;
        for section in &self.sections {
            placed.push(json!({
                "id": id(&[&section.title]),
                "type": "row",
                "title": section.title,
                "collapsed": false,
                "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
                "panels": [],
            }));
            y += 1;
            let mut x = 0;
            let mut line_height = 0;
            for panel in &section.panels {
                if x + panel.width > COLUMNS {
                    y += line_height;
                    (x, line_height) = (0, 0);
                }
                let id = id(&[&section.title, &panel.title]);
                placed.push(panel.json(id, Position { x, y }, &scope, &colors));
                x += panel.width;
                line_height = line_height.max(panel.height);
            }
            y += line_height;
        }
        placed
    }

    /// Red for what shipped, green for what holds, other colours for what tempts. All lines of a variant have its colour,
    /// whatever else their names say.
    ///
    /// On the dashboard of an exercise, each of its tempting variants has a colour of its own. Of all exercises there are too
    /// many to be named: elsewhere the first letter of a name decides, and two of them may look the same.
    fn colors(&self) -> Vec<Value> {
        let tempting: Vec<&str> = match self.exercise {
            Some(Exercise { variants, .. }) => {
                let tempting = variants.iter().filter(|variant| variant.kind == Kind::Tempting);
                tempting.map(|variant| variant.name).collect()
            }
            None => vec!["[a-c][^ ]*", "[d-k][^ ]*", "[l-o][^ ]*", "[pq][^ ]*", "[rs][^ ]*", "[t-z][^ ]*"],
        };
        let colors = ["orange", "yellow", "purple", "blue", "#6ED0E0", "#FF9DC8"];
        // The last override that matches counts.
        let variants = tempting.into_iter().zip(colors).chain([("buggy", "red"), ("fixed", "green")]);
        let overrides = variants.map(|(name, color)| {
            json!({
                // Up to its end: a name may begin with the whole of another one.
                "matcher": named(&format!("/^{name}( |$)/")),
                "properties": [{ "id": "color", "value": { "mode": "fixed", "fixedColor": color } }],
            })
        });
        overrides.collect()
    }

    fn links(&self) -> Vec<Value> {
        vec![json!({
            "title": "Stampede",
            "tooltip": "The other dashboards, for the same time and variant",
            "type": "dashboards",
            "tags": ["stampede"],
            "icon": "external link",
            "asDropdown": false,
            "includeVars": true,
            "keepTime": true,
            "targetBlank": false,
        })]
    }

    fn annotations(&self) -> Vec<Value> {
        let annotation = |name: &str, color: &str, expr: String, title: &str, text: &str, tags: &str| {
            json!({
                "name": name,
                "datasource": datasource(),
                "enable": true,
                "iconColor": color,
                "expr": expr,
                "titleFormat": title,
                "textFormat": text,
                "tagKeys": tags,
                "step": "1s",
            })
        };
        let runs = match self.exercise {
            Some(exercise) => format!(r#"{CHOSEN}, exercise="{}""#, exercise.id),
            None => CHOSEN.to_owned(),
        };
        let alert = self
            .exercise
            .map_or(URGENT.to_owned(), |exercise| format!(r#"alertname="{}""#, exercise.alert.name));
        let mut alerts = annotation(
            "Alerts",
            "red",
            format!(r#"max by (alertname, severity, variant) (ALERTS{{alertstate="firing", {alert}}})"#),
            "{{alertname}}",
            "{{severity}}, variant {{variant}}",
            "severity,variant",
        );
        alerts["enable"] = self.exercise.is_some().into();
        vec![
            annotation(
                "Runs",
                "blue",
                format!("max by (exercise, variant, run_id) (stampede_run_info{{{runs}}})"),
                "{{exercise}}: {{variant}}",
                "run {{run_id}}",
                "exercise,variant",
            ),
            alerts,
        ]
    }

    fn variables(&self) -> Vec<Value> {
        let all = json!({ "text": ["All"], "value": ["$__all"] });
        let query = |name: &str, label: &str, selector: &str, all_value: &str| {
            json!({
                "name": name,
                "label": label,
                "type": "query",
                "datasource": datasource(),
                "query": format!("label_values({selector}, {name})"),
                "includeAll": true,
                "allValue": all_value,
                "multi": true,
                "current": all,
                // Servers come and go within the time that is shown.
                "refresh": 2,
                "sort": 1,
            })
        };
        let from = format!(r#"__name__=~"{}""#, self.chosen_from);
        vec![
            json!({
                "name": "datasource",
                "label": "Data source",
                "type": "datasource",
                "query": "prometheus",
                "current": { "text": "default", "value": "default" },
            }),
            query("job", "Job", &format!("{{{from}}}"), ".+"),
            query("instance", "Instance", &format!(r#"{{{from}, job=~"$job"}}"#), ".+"),
            // A target that says nothing of a variant is shown as well.
            query("variant", "Variant", &format!(r#"{{{from}, job=~"$job", instance=~"$instance"}}"#), ".*"),
        ]
    }
}

/// An id that stays the same when panels come and go before it: links to a panel carry it.
fn id(names: &[&str]) -> u32 {
    // FNV-1a, which is the same in every build. Grafana counts in signed 32 bits.
    let hash = names
        .join("/")
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash >> 1
}

/// JSON with sorted keys, where an object or a list that fits into a line takes one.
fn layout(value: &Value, indent: usize) -> String {
    let inner = indent + 2;
    let (open, close, parts): (_, _, Vec<String>) = match value {
        Value::Array(values) => ('[', ']', values.iter().map(|value| layout(value, inner)).collect()),
        Value::Object(map) => {
            // Another crate of a build may have made serde_json keep the order in which keys were inserted.
            let map: BTreeMap<_, _> = map.iter().collect();
            let entries =
                map.into_iter().map(|(key, value)| format!("{}: {}", json!(key), layout(value, inner)));
            ('{', '}', entries.collect())
        }
        scalar => return scalar.to_string(),
    };
    let line = parts.join(", ");
    if indent + line.len() <= LINE_WIDTH && !line.contains('\n') {
        return format!("{open}{line}{close}");
    }
    let lines = parts.join(&format!(",\n{:inner$}", ""));
    format!("{open}\n{:inner$}{lines}\n{:indent$}{close}", "", "")
}
