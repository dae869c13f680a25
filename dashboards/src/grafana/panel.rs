//! One panel: what it asks, and how it is drawn.

use serde_json::{Value, json};

use crate::promql::Scope;

/// Columns of Grafana's grid.
pub(super) const COLUMNS: u32 = 24;

/// A place on the grid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    pub x: u32,
    pub y: u32,
}

/// The Prometheus that the reader of the dashboard chose.
pub(super) fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// A panel before it has a place.
#[derive(Debug, Clone)]
pub struct Panel {
    /// A few words.
    pub title: String,
    /// How to read it.
    pub description: String,
    /// How it is drawn.
    pub kind: Kind,
    /// Unit of its values, as Grafana names it.
    pub unit: &'static str,
    /// What is asked of Prometheus.
    pub queries: Vec<Query>,
    /// The objective, or what the values stay within on a healthy server.
    pub limit: Option<f64>,
    /// The objective where more is better.
    pub floor: Option<f64>,
    /// Columns of 24.
    pub width: u32,
    /// Rows of 30 pixels.
    pub height: u32,
}

/// How a panel is drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Lines over time.
    TimeSeries,
    /// The worst value of each series in the time range, large.
    Worst,
    /// The last value of each series, large.
    Last,
    /// A histogram over time.
    Heatmap,
    /// The last value of each series in a table: a row for each value of one label, a column for each of another.
    Matrix {
        /// The label of the rows.
        rows: &'static str,
        /// The label of the columns.
        columns: &'static str,
    },
    /// Markdown, without a query.
    Text(String),
}

/// A query of a panel.
#[derive(Debug, Clone)]
pub struct Query {
    /// PromQL with `$scope` and `$window`.
    pub promql: String,
    /// Name of a series, with labels such as `{{variant}}`.
    pub legend: String,
}

impl Panel {
    /// Lines over time, a third of the width.
    pub fn lines(title: impl Into<String>, description: impl Into<String>, unit: &'static str) -> Self {
        Panel {
            title: title.into(),
            description: description.into(),
            kind: Kind::TimeSeries,
            unit,
            queries: Vec::new(),
            limit: None,
            floor: None,
            width: 8,
            height: 8,
        }
    }

    /// The worst value of each series in the time range, a sixth of the width.
    pub fn worst(title: impl Into<String>, description: impl Into<String>, unit: &'static str) -> Self {
        Panel { kind: Kind::Worst, width: 6, height: 5, ..Self::lines(title, description, unit) }
    }

    /// The last value of each series, a sixth of the width.
    pub fn last(title: impl Into<String>, description: impl Into<String>, unit: &'static str) -> Self {
        Panel { kind: Kind::Last, width: 6, height: 5, ..Self::lines(title, description, unit) }
    }

    /// A histogram over time, a third of the width.
    pub fn heatmap(title: impl Into<String>, description: impl Into<String>, unit: &'static str) -> Self {
        Panel { kind: Kind::Heatmap, ..Self::lines(title, description, unit) }
    }

    /// The last value of each series as held (1) or broken (0), the whole width.
    pub fn matrix(
        title: impl Into<String>,
        description: impl Into<String>,
        rows: &'static str,
        columns: &'static str,
    ) -> Self {
        Panel {
            kind: Kind::Matrix { rows, columns },
            width: COLUMNS,
            ..Self::lines(title, description, "none")
        }
    }

    /// Markdown, the whole width.
    pub fn text(title: impl Into<String>, description: impl Into<String>, markdown: String) -> Self {
        Panel { kind: Kind::Text(markdown), width: 24, ..Self::lines(title, description, "none") }
    }

    /// Adds a query.
    pub fn query(mut self, promql: impl Into<String>, legend: impl Into<String>) -> Self {
        self.queries.push(Query { promql: promql.into(), legend: legend.into() });
        self
    }

    /// Draws a line at the objective, and colours what is beyond it.
    pub fn limit(mut self, limit: impl Into<Option<f64>>) -> Self {
        self.limit = limit.into();
        self
    }

    /// Colours what is below the objective.
    pub fn at_least(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self
    }

    /// Takes another place than its kind usually does.
    pub fn size(self, width: u32, height: u32) -> Self {
        Panel { width, height, ..self }
    }

    /// Grafana's JSON; `colors` are overrides of series by variant.
    pub(super) fn json(&self, id: u32, at: Position, scope: &Scope, colors: &[Value]) -> Value {
        let mut panel = json!({
            "id": id,
            "type": self.kind.plugin(),
            "title": self.title,
            "description": self.description,
            "gridPos": { "x": at.x, "y": at.y, "w": self.width, "h": self.height },
            "options": self.kind.options(self.width),
        });
        if !matches!(self.kind, Kind::Text(_)) {
            let targets =
                self.queries.iter().zip('A'..).map(|(query, letter)| query.json(letter, &self.kind, scope));
            // Its queries ask the same one.
            panel["datasource"] = datasource();
            panel["targets"] = targets.collect();
            panel["fieldConfig"] = json!({
                "defaults": self.defaults(),
                "overrides": self.overrides(colors),
            });
            if let Kind::Matrix { rows, columns } = self.kind {
                panel["transformations"] = json!([
                    { "id": "reduce", "options": { "reducers": ["lastNotNull"], "labelsToFields": true } },
                    { "id": "groupingToMatrix", "options": { "rowField": rows, "columnField": columns, "valueField": "Last *" } },
                ]);
            }
        }
        panel
    }

    fn overrides(&self, colors: &[Value]) -> Value {
        match self.kind {
            Kind::TimeSeries => colors.iter().cloned().chain(self.styles()).collect(),
            // The names of the rows are no values to be coloured.
            Kind::Matrix { rows, columns } => json!([{
                "matcher": { "id": "byNames", "options": { "names": [format!("{rows}\\{columns}")] } },
                "properties": [{ "id": "custom.cellOptions", "value": { "type": "auto" } }],
            }]),
            _ => json!([]),
        }
    }

    /// Dashes and dots for all queries but the first: their lines have the variant's colour, too.
    fn styles(&self) -> impl Iterator<Item = Value> {
        let styles = [json!({ "fill": "dash", "dash": [10, 10] }), json!({ "fill": "dot", "dash": [0, 10] })];
        self.queries.iter().skip(1).zip(styles).map(|(query, style)| {
            let (_, end) = query.legend.rsplit_once("}}").expect("a legend has a label");
            json!({
                "matcher": named(&format!("/{end}$/")),
                "properties": [{ "id": "custom.lineStyle", "value": style }],
            })
        })
    }

    /// Where the colour changes: at the objective.
    fn thresholds(&self) -> Option<Value> {
        let step = |value: Option<f64>, color: &str| json!({ "value": value, "color": color });
        let mut steps = match self.floor {
            Some(floor) => vec![step(None, "red"), step(Some(floor), "green")],
            None => vec![step(None, "green")],
        };
        steps.extend(self.limit.map(|limit| step(Some(just_above(limit)), "red")));
        (steps.len() > 1).then(|| json!({ "mode": "absolute", "steps": steps }))
    }

    fn defaults(&self) -> Value {
        let mut defaults = json!({ "unit": self.unit });
        let thresholds = self.thresholds();
        match self.kind {
            Kind::TimeSeries => {
                defaults["min"] = 0.into();
                defaults["color"] = json!({ "mode": "palette-classic-by-name" });
                // A round lasts seconds: a point that stands alone is still a measurement.
                defaults["custom"] = json!({ "lineWidth": 2, "fillOpacity": 5, "pointSize": 4 });
                if thresholds.is_some() {
                    defaults["custom"]["thresholdsStyle"] = json!({ "mode": "dashed" });
                }
                if self.unit == "percentunit" {
                    // Where all is well there is nothing but zeros, which Grafana draws on a scale up to 10000 %.
                    defaults["custom"]["axisSoftMax"] = 0.05.into();
                }
            }
            Kind::Worst | Kind::Last => {
                defaults["noValue"] = "no data".into();
                if thresholds.is_none() {
                    // What has no objective is neither good nor bad.
                    defaults["color"] = json!({ "mode": "fixed", "fixedColor": "blue" });
                }
                // Without a value there is nothing that is well: a quotient of no requests must not be green.
                defaults["mappings"] = json!([{
                    "type": "special",
                    "options": { "match": "null+nan", "result": { "text": "no data", "color": "text" } },
                }]);
            }
            Kind::Matrix { .. } => {
                defaults["custom"] = json!({
                    "align": "center",
                    // A gauge has a mode of that name as well. By `applyToRow`, Grafana's schema tells the two apart.
                    "cellOptions": { "type": "color-background", "mode": "basic", "applyToRow": false },
                });
                defaults["mappings"] = json!([{
                    "type": "value",
                    "options": {
                        "0": { "text": "broken", "color": "red" },
                        "1": { "text": "holds", "color": "green" },
                    },
                }]);
            }
            Kind::Heatmap | Kind::Text(_) => {}
        }
        if let Some(thresholds) = thresholds {
            defaults["thresholds"] = thresholds;
        }
        defaults
    }
}

/// Grafana colours a value that equals the threshold; a limit may be reached.
fn just_above(limit: f64) -> f64 {
    if limit == 0.0 { 1e-9 } else { limit }
}

/// Beside a wide plot there is room for figures. Below a narrow one a table would hide most variants.
fn legend(width: u32) -> Value {
    if width > COLUMNS / 2 {
        json!({ "showLegend": true, "displayMode": "table", "placement": "right", "calcs": ["max", "lastNotNull"] })
    } else {
        json!({ "showLegend": true })
    }
}

impl Kind {
    fn plugin(&self) -> &'static str {
        match self {
            Kind::TimeSeries => "timeseries",
            Kind::Worst | Kind::Last => "stat",
            Kind::Heatmap => "heatmap",
            Kind::Matrix { .. } => "table",
            Kind::Text(_) => "text",
        }
    }

    fn options(&self, width: u32) -> Value {
        match self {
            Kind::TimeSeries => json!({
                "legend": legend(width),
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            Kind::Worst | Kind::Last => json!({
                "graphMode": "none",
                "colorMode": "background",
                "textMode": "value_and_name",
                "orientation": "auto",
                "reduceOptions": { "calcs": [if *self == Kind::Worst { "max" } else { "lastNotNull" }] },
            }),
            Kind::Heatmap => json!({
                "cellGap": 0,
                "showValue": "never",
                "tooltip": { "mode": "single" },
                "yAxis": { "unit": "s" },
            }),
            Kind::Matrix { .. } => json!({}),
            Kind::Text(markdown) => json!({ "content": markdown }),
        }
    }
}

impl Query {
    fn json(&self, letter: char, kind: &Kind, scope: &Scope) -> Value {
        let mut query = json!({
            "refId": letter.to_string(),
            "expr": scope.fill(&self.promql),
            "legendFormat": self.legend,
        });
        if *kind == Kind::Heatmap {
            query["format"] = "heatmap".into();
        }
        query
    }
}

/// A matcher of the series whose names match a pattern.
///
/// Grafana's `byRegexp` does no more, but its options are a string, and the schema of a dashboard wants an object.
pub(super) fn named(pattern: &str) -> Value {
    json!({ "id": "byRegexpOrNames", "options": { "pattern": pattern } })
}
