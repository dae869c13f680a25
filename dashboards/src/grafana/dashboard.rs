//! A dashboard: variables, annotations, links, and the grid that panels flow into.

use serde_json::{Value, json};
use target_app::catalogue::{Kind, Variant};
use target_app::exercises::EXERCISES;

use super::panel::{COLUMNS, Panel, Position, Query, datasource, named};
use crate::promql::Scope;

/// The newest version of the classic schema; newer Grafanas read it, and provisioning takes no other.
const SCHEMA_VERSION: u32 = 42;

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
    /// Further matchers that all of its queries have.
    pub matchers: String,
    /// Which runs its annotations show: a matcher for `stampede_run_info`.
    pub runs: String,
    /// The alert that its annotations show. Each alert paints an area while it fires, so without one they show what is
    /// urgent, and only when somebody asks for it.
    pub alert: Option<&'static str>,
    /// Variants that may be drawn, for their colours.
    pub variants: Vec<&'static Variant>,
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

/// All variants of all exercises, each name once.
pub(super) fn all_variants() -> Vec<&'static Variant> {
    let mut variants: Vec<&Variant> = Vec::new();
    for variant in EXERCISES.iter().flat_map(|exercise| exercise.variants) {
        if variants.iter().all(|seen| seen.name != variant.name) {
            variants.push(variant);
        }
    }
    variants
}

impl Dashboard {
    /// What fills the open places of its queries.
    pub fn scope(&self) -> Scope {
        let chosen = r#"job=~"$job", instance=~"$instance", variant=~"$variant""#;
        let selector = match self.matchers.as_str() {
            "" => chosen.to_owned(),
            further => format!("{chosen}, {further}"),
        };
        Scope::new(selector, "$__rate_interval")
    }

    /// Every query, with the panel that it is of.
    pub fn queries(&self) -> impl Iterator<Item = (&Panel, &Query)> {
        let panels = self.sections.iter().flat_map(|section| &section.panels);
        panels.flat_map(|panel| panel.queries.iter().map(move |query| (panel, query)))
    }

    /// Grafana's JSON, pretty printed, keys sorted.
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
            "timezone": "browser",
            "refresh": "5s",
            "links": self.links(),
            "annotations": { "list": self.annotations() },
            "templating": { "list": self.variables() },
            "panels": self.panels(),
        });
        let mut text =
            serde_json::to_string_pretty(&sorted(dashboard)).expect("a value can be written as JSON");
        text.push('\n');
        text
    }

    fn panels(&self) -> Vec<Value> {
        let scope = self.scope();
        let colors = colors(&self.variants);
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
                "useValueForTime": false,
            })
        };
        let runs = Scope::new(
            [r#"job=~"$job", instance=~"$instance", variant=~"$variant""#, self.runs.as_str()]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(", "),
            "",
        );
        let alert = self.alert.map_or(URGENT.to_owned(), |name| format!(r#"alertname="{name}""#));
        let mut alerts = annotation(
            "Alerts",
            "red",
            format!(r#"max by (alertname, severity, variant) (ALERTS{{alertstate="firing", {alert}}})"#),
            "{{alertname}}",
            "{{severity}}, variant {{variant}}",
            "severity,variant",
        );
        alerts["enable"] = self.alert.is_some().into();
        vec![
            annotation(
                "Runs",
                "blue",
                runs.fill("max by (exercise, variant, run_id) (stampede_run_info{$scope})"),
                "{{exercise}}: {{variant}}",
                "run {{run_id}}",
                "exercise,variant",
            ),
            alerts,
        ]
    }

    fn variables(&self) -> Vec<Value> {
        let all = json!({ "selected": true, "text": ["All"], "value": ["$__all"] });
        let query = |name: &str, label: &str, selector: &str, all_value: &str| {
            let definition = format!("label_values({selector}, {name})");
            json!({
                "name": name,
                "label": label,
                "type": "query",
                "datasource": datasource(),
                "definition": definition,
                "query": definition,
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
                "refresh": 1,
            }),
            query("job", "Job", &format!("{{{from}}}"), ".+"),
            query("instance", "Instance", &format!(r#"{{{from}, job=~"$job"}}"#), ".+"),
            // A target that says nothing of a variant is shown as well.
            query("variant", "Variant", &format!(r#"{{{from}, job=~"$job", instance=~"$instance"}}"#), ".*"),
        ]
    }
}

/// Fixed colours of variants: red for what shipped, green for what holds. All lines of a variant have its colour, whatever
/// else their names say, for a colour that elsewhere is another variant's misleads.
fn colors(variants: &[&Variant]) -> Vec<Value> {
    let mut tempting = ["orange", "yellow", "purple", "blue", "#6ED0E0", "#FF9DC8"].into_iter().cycle();
    let colors = variants.iter().map(|variant| {
        let color = match variant.kind {
            Kind::Buggy => "red",
            Kind::Fixed => "green",
            Kind::Tempting => tempting.next().expect("a cycle has no end"),
        };
        json!({
            // Up to its end: a name may begin with the whole of another one.
            "matcher": named(&format!("/^{}( |$)/", variant.name)),
            "properties": [{ "id": "color", "value": { "mode": "fixed", "fixedColor": color } }],
        })
    });
    colors.collect()
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

/// The value with its keys sorted, whether or not a build keeps the order in which they were inserted.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(values) => values.into_iter().map(sorted).collect(),
        other => other,
    }
}
