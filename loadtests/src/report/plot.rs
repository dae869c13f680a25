//! The plots, as SVG that stands inside the page.
//!
//! Plotters writes fixed colours as presentation attributes. CSS rules win over those, so [`stylesheet`] maps each
//! colour to a variable of the page, which changes with the reader's colour scheme; dashes come the same way.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::ops::Range;

use maud::{Markup, PreEscaped, Render, html};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::format::{self, tick_micros};
use crate::results::{ExerciseResult, SignalValue, VariantResult};

/// Plotters places everything on whole pixels: four to one of the page keep curves smooth.
const FINE: f64 = 4.0;
/// Size of labels in pixels of the page, where a plot is as wide as it was drawn.
const LABEL: f64 = 14.0;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// A colour by its role: how plotters writes it, the CSS variable that takes its place, and its dashes as a line.
struct Ink {
    variable: &'static str,
    light: (u8, u8, u8),
    dark: &'static str,
    dash: &'static str,
}

impl Ink {
    fn color(&self) -> RGBColor {
        RGBColor(self.light.0, self.light.1, self.light.2)
    }

    /// As the SVG backend writes it.
    fn hex(&self) -> String {
        let (red, green, blue) = self.light;
        format!("#{red:02X}{green:02X}{blue:02X}")
    }

    fn line(&self, width: f64) -> ShapeStyle {
        self.color().stroke_width(fine(width) as u32)
    }
}

const TEXT: Ink = Ink { variable: "plot-text", light: (0x4A, 0x52, 0x60), dark: "#a9b1be", dash: "none" };
const GRID: Ink = Ink { variable: "plot-grid", light: (0xE3, 0xE6, 0xEB), dark: "#2b313b", dash: "none" };
const AXIS: Ink = Ink { variable: "plot-axis", light: (0xB4, 0xBA, 0xC4), dark: "#4a5361", dash: "none" };
const LIMIT: Ink = Ink { variable: "plot-limit", light: (0x1A, 0x1D, 0x23), dark: "#f2f4f8", dash: "20 14" };
const DONE: Ink = Ink { variable: "plot-done", light: (0x5E, 0x96, 0xCB), dark: "#3f6f9f", dash: "none" };
const FAILED: Ink = Ink { variable: "plot-failed", light: (0xC2, 0x33, 0x0D), dark: "#ff8a5c", dash: "none" };
const INCIDENT: Ink =
    Ink { variable: "plot-incident", light: (0xD9, 0x9A, 0x14), dark: "#e0b24a", dash: "none" };
const BUGGY: Ink = Ink { variable: "series-buggy", light: (0xC8, 0x4A, 0x0C), dark: "#f58b4c", dash: "none" };
const FIXED: Ink = Ink { variable: "series-fixed", light: (0x0B, 0x63, 0xB0), dark: "#5fb0f5", dash: "none" };
/// For the variants between buggy and fixed, in their order.
const OTHERS: [Ink; 5] = [
    Ink { variable: "series-1", light: (0x8A, 0x4F, 0xA3), dark: "#c997e0", dash: "36 20" },
    Ink { variable: "series-2", light: (0x0E, 0x84, 0x78), dark: "#4cc7b8", dash: "10 18" },
    Ink { variable: "series-3", light: (0x9A, 0x71, 0x00), dark: "#dcb43a", dash: "48 16 10 16" },
    Ink { variable: "series-4", light: (0xC0, 0x3A, 0x78), dark: "#f283b4", dash: "24 12 24 28" },
    Ink { variable: "series-5", light: (0x5C, 0x66, 0x75), dark: "#98a3b3", dash: "64 20" },
];

/// The variables of all colours, and the rules that put them over what plotters wrote.
pub(super) fn stylesheet() -> String {
    let inks = || {
        [&TEXT, &GRID, &AXIS, &LIMIT, &DONE, &FAILED, &INCIDENT, &BUGGY, &FIXED].into_iter().chain(&OTHERS)
    };
    let light: String = inks().map(|ink| format!("--{}:{};", ink.variable, ink.hex())).collect();
    let dark: String = inks().map(|ink| format!("--{}:{};", ink.variable, ink.dark)).collect();
    let rules: String = inks()
        .map(|Ink { variable, dash, .. }| (variable, dash))
        .zip(inks().map(Ink::hex))
        .map(|((variable, dash), hex)| {
            format!(
                "svg [fill=\"{hex}\"]{{fill:var(--{variable})}}\n\
                 svg [stroke=\"{hex}\"]{{stroke:var(--{variable});stroke-dasharray:{dash}}}\n"
            )
        })
        .collect();
    format!(":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{rules}")
}

/// How one variant looks in every plot of its exercise.
#[derive(Clone, Copy)]
struct Look {
    ink: &'static Ink,
    /// Corners of the marker and its turn in parts of a full circle.
    marker: (usize, f64),
    width: f64,
}

impl Look {
    /// One look per variant, in their order.
    fn of(exercise: &ExerciseResult) -> Vec<Look> {
        const MARKERS: [(usize, f64); 5] = [(4, 0.125), (3, -0.25), (4, 0.0), (3, 0.25), (5, -0.25)];
        let mut others = OTHERS.iter().zip(MARKERS).cycle();
        let of_kind = |kind| move |variant: &&VariantResult| variant.kind == kind;
        let buggy = exercise.variants.iter().find(of_kind("buggy")).map(|variant| &variant.name);
        let fixed = exercise.variants.iter().rfind(of_kind("fixed")).map(|variant| &variant.name);
        exercise
            .variants
            .iter()
            .map(|variant| match Some(&variant.name) {
                name if name == buggy => Look { ink: &BUGGY, marker: (20, 0.0), width: 2.5 },
                name if name == fixed => Look { ink: &FIXED, marker: (6, 0.0), width: 3.0 },
                _ => {
                    let (ink, marker) = others.next().expect("a cycle has no end");
                    Look { ink, marker, width: 2.25 }
                }
            })
            .collect()
    }

    /// Corners of the marker around its centre.
    fn corners(&self) -> Vec<(i32, i32)> {
        let (corners, turn) = self.marker;
        // A triangle looks smaller than a circle of the same radius.
        let radius = fine(if corners == 3 { 6.0 } else { 5.0 });
        (0..corners)
            .map(|corner| TAU * (corner as f64 / corners as f64 + turn))
            .map(|angle| ((radius * angle.cos()).round() as i32, (radius * angle.sin()).round() as i32))
            .collect()
    }

    /// The line and its marker, for a legend. The words stand beside it.
    fn swatch(&self) -> Markup {
        draw((34.0, 14.0), None, |area| {
            let middle = fine(7.0) as i32;
            area.draw(&PathElement::new(
                vec![(0, middle), (fine(34.0) as i32, middle)],
                self.ink.line(self.width),
            ))?;
            area.draw(
                &(EmptyElement::at((fine(17.0) as i32, middle))
                    + Polygon::new(self.corners(), self.ink.color().filled())),
            )
        })
    }
}

/// A plot, what it shows in one sentence, and the key to its lines.
pub(super) struct Figure {
    /// The finding, as a heading.
    pub(super) finding: String,
    /// How to read the plot.
    pub(super) note: String,
    svg: Markup,
    legend: Vec<(Markup, String)>,
}

impl Render for Figure {
    fn render(&self) -> Markup {
        html! {
            figure {
                figcaption {
                    strong { (self.finding) }
                    span { (self.note) }
                }
                (self.svg)
                @if !self.legend.is_empty() {
                    ul.legend {
                        @for (swatch, label) in &self.legend { li { (swatch) span { (label) } } }
                    }
                }
            }
        }
    }
}

/// Latency of the headline request against the percentile, all variants on one axis.
///
/// The percentile axis is log10(1 / (1 − p)), as HdrHistogram draws it: each step is a tenth of the requests before.
pub(super) fn percentiles(exercise: &ExerciseResult) -> Option<Figure> {
    let curves: Vec<_> = exercise
        .variants
        .iter()
        .zip(Look::of(exercise))
        .filter_map(|(variant, look)| Some((variant, look, Curve::of(variant)?)))
        .collect();
    let last = |of: fn(&(f64, f64)) -> f64, pick: fn(f64, f64) -> f64| {
        curves.iter().flat_map(|(_, _, curve)| &curve.points).map(of).reduce(pick)
    };
    let right = last(|point| point.0, f64::max)?.clamp(tail(90.0), tail(99.99));
    let (bottom, top) = (last(|point| point.1, f64::min)?, last(|point| point.1, f64::max)?);
    // A flat line needs some air around it.
    let (bottom, top) = (bottom - 0.08, top.max(bottom + 0.6) + 0.08);

    let headline = &exercise.variants.first()?.headline;
    let p99 = |variant: &VariantResult| Some(variant.headline_stats()?.response.p99_us as f64);
    let finding = format!("{headline} p99: {}", finding(exercise, p99, tick_micros));
    let p99s: Vec<_> = curves
        .iter()
        .map(|(variant, ..)| {
            format!("{} {}", variant.name, variant.headline_latency(|latency| latency.p99_us))
        })
        .collect();
    let description = format!("Latency of {headline} by percentile. 99th percentile: {}.", p99s.join(", "));

    let svg = draw((480.0, 320.0), Some((&finding, &description)), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin_top(fine(10.0))
            .margin_right(fine(14.0))
            .x_label_area_size(fine(28.0))
            .y_label_area_size(fine(66.0))
            .build_cartesian_2d(
                Axis::new(0.0..right * 1.02, percentile_ticks(right), |x| {
                    format!("{} %", format::number(100.0 - 100.0 / 10f64.powf(x)))
                }),
                Axis::new(bottom..top, log_ticks(bottom, top), |y| tick_micros(10f64.powf(y).round())),
            )?;
        chart
            .configure_mesh()
            .set_all_tick_mark_size(fine(4.0))
            .bold_line_style(GRID.line(1.0))
            .axis_style(AXIS.line(1.0))
            .label_style(label(HPos::Center, VPos::Top))
            .draw()?;
        for (_, look, curve) in &curves {
            let inside = curve.points.iter().copied().filter(|(x, _)| *x <= right + 1e-9);
            chart.draw_series(LineSeries::new(inside, look.ink.line(look.width)))?;
            chart.draw_series(
                percentile_ticks(right).into_iter().filter_map(|x| curve.at(x).map(|y| (x, y))).map(
                    |point| EmptyElement::at(point) + Polygon::new(look.corners(), look.ink.color().filled()),
                ),
            )?;
        }
        Ok(())
    });
    Some(Figure {
        finding,
        note: "Latency by percentile, both axes logarithmic; to the right, the slowest requests.".into(),
        svg,
        legend: curves.iter().map(|(variant, look, _)| (look.swatch(), variant.name.clone())).collect(),
    })
}

/// A percentile curve in the coordinates of the plot: stretched percentile, log10 of microseconds.
struct Curve {
    points: Vec<(f64, f64)>,
}

impl Curve {
    fn of(variant: &VariantResult) -> Option<Curve> {
        let stats = variant.headline_stats()?;
        // The slowest of `count` requests stands for the last half of one in `count`; beyond it nothing was seen.
        let end = (2.0 * stats.count as f64).log10();
        let height = |us: u64| (us.max(1) as f64).log10();
        let curve = &stats.response.curve;
        let mut points: Vec<_> = curve
            .iter()
            .map(|(percentile, us)| (tail(*percentile), height(*us)))
            .filter(|(x, _)| *x < end)
            .collect();
        points.push((end, height(stats.response.max_us)));
        Some(Curve { points })
    }

    /// Height of the curve at `x`, between its points.
    fn at(&self, x: f64) -> Option<f64> {
        let after = self.points.iter().position(|point| point.0 >= x)?;
        let (right, y) = self.points[after];
        match after.checked_sub(1).map(|before| self.points[before]) {
            Some((left, from)) if right > left => Some(from + (y - from) * (x - left) / (right - left)),
            _ => Some(y),
        }
    }
}

/// Where a percentile stands on the stretched axis.
fn tail(percentile: f64) -> f64 {
    -(1.0 - percentile.clamp(0.0, 100.0) / 100.0).log10()
}

/// The ticks of the stretched axis up to `right`.
fn percentile_ticks(right: f64) -> Vec<f64> {
    [50.0, 90.0, 99.0, 99.9, 99.99].map(tail).into_iter().filter(|x| *x <= right + 1e-9).collect()
}

/// Ticks at 1, 2 and 5 in each decade, or at the decades alone where those are many.
fn log_ticks(bottom: f64, top: f64) -> Vec<f64> {
    let steps: &[f64] = if top - bottom > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    (bottom.floor() as i32..=top.ceil() as i32)
        .flat_map(|decade| steps.iter().map(move |step| step.log10() + f64::from(decade)))
        .filter(|tick| (bottom..=top).contains(tick))
        .collect()
}

/// The finding of a plot in words: the buggy variant, the fixed one, and between them whichever is worse than both.
fn finding(
    exercise: &ExerciseResult,
    value: impl Fn(&VariantResult) -> Option<f64>,
    words: impl Fn(f64) -> String,
) -> String {
    let valued: Vec<_> =
        exercise.variants.iter().filter_map(|variant| Some((variant, value(variant)?))).collect();
    let buggy = valued.iter().position(|(variant, _)| variant.kind == "buggy");
    let fixed = valued.iter().rposition(|(variant, _)| variant.kind == "fixed");
    let worst = (0..valued.len()).reduce(|worst, at| if valued[at].1 > valued[worst].1 { at } else { worst });
    let mut shown: Vec<_> = [buggy, worst, fixed].into_iter().flatten().collect();
    shown.sort_unstable();
    shown.dedup();
    let said: Vec<_> =
        shown.into_iter().map(|at| format!("{} {}", valued[at].0.name, words(valued[at].1))).collect();
    said.join(", ")
}

/// One plot per signal: a bar for each variant, and the limit as a line.
pub(super) fn signals(exercise: &ExerciseResult) -> Vec<Figure> {
    let mut names: Vec<&str> = Vec::new();
    for signal in exercise.variants.iter().flat_map(|variant| &variant.signals) {
        if !names.contains(&signal.name.as_str()) {
            names.push(&signal.name);
        }
    }
    names.into_iter().filter_map(|name| signal(exercise, name)).collect()
}

fn signal(exercise: &ExerciseResult, name: &str) -> Option<Figure> {
    let bars: Vec<(&VariantResult, Look, &SignalValue)> = exercise
        .variants
        .iter()
        .zip(Look::of(exercise))
        .filter_map(|(variant, look)| {
            let signal = variant.signals.iter().find(|signal| signal.name == name)?;
            Some((variant, look, signal))
        })
        .collect();
    let unit = &bars.first()?.2.unit;
    let limit = bars.iter().find_map(|(.., signal)| signal.limit);
    let scale = Scale::of(bars.iter().map(|(.., signal)| signal.value).chain(limit));

    // "units sold: 137" needs no unit again.
    let words = |value: f64| match unit.as_str() {
        "" => format::quantity(value, unit),
        unit if name.contains(unit) => format::number(value),
        unit => format::quantity(value, unit),
    };
    let value =
        |variant: &VariantResult| Some(variant.signals.iter().find(|signal| signal.name == name)?.value);
    let finding = format!("{name}: {}", finding(exercise, value, words));
    let values: Vec<_> = bars.iter().map(|(.., signal)| words(signal.value)).collect();
    let all: Vec<_> =
        bars.iter().zip(&values).map(|((variant, ..), value)| format!("{} {value}", variant.name)).collect();
    let limit_words = limit.map(|limit| format!("limit {}", words(limit)));
    let description = match &limit_words {
        Some(limit) => format!("{name}: {}; {limit}.", all.join(", ")),
        None => format!("{name}: {}.", all.join(", ")),
    };

    let widest = |texts: &mut dyn Iterator<Item = &str>| {
        texts.map(|text| text.chars().count()).max().unwrap_or(0) as f64 * LABEL * 0.58 + 10.0
    };
    let left = widest(&mut bars.iter().map(|(variant, ..)| variant.name.as_str())).min(170.0);
    let right = 480.0 - widest(&mut values.iter().map(String::as_str)).min(150.0);
    let (top, row) = (if limit.is_some() { 30.0 } else { 6.0 }, 32.0);
    let height = top + row * bars.len() as f64 + 6.0;
    let across = |value: f64| left + (right - left) * scale.share(value);

    let svg = draw((480.0, height), Some((&finding, &description)), |area| {
        for (at, ((variant, look, signal), value)) in bars.iter().zip(&values).enumerate() {
            let middle = top + row * (at as f64 + 0.5);
            let name = shorten(&variant.name, ((left - 10.0) / (LABEL * 0.58)).floor() as usize);
            text(area, &name, (left - 10.0, middle), label(HPos::Right, VPos::Center))?;
            // A value of nothing still shows where its bar would begin.
            let end = across(signal.value).max(left + 1.5);
            area.draw(&Rectangle::new(
                [place(left, middle - 9.0), place(end, middle + 9.0)],
                look.ink.color().filled(),
            ))?;
            // The line of the limit must not cross the figure.
            let figure = end..end + 7.0 + value.chars().count() as f64 * LABEL * 0.58;
            let crossed = limit.map(across).filter(|x| figure.contains(x));
            text(area, value, (crossed.unwrap_or(end) + 7.0, middle), label(HPos::Left, VPos::Center))?;
        }
        area.draw(&PathElement::new(vec![place(left, top), place(left, height - 6.0)], AXIS.line(1.0)))?;
        if let (Some(limit), Some(words)) = (limit, &limit_words) {
            let x = across(limit);
            area.draw(&PathElement::new(vec![place(x, 22.0), place(x, height - 2.0)], LIMIT.line(1.75)))?;
            // The words stay inside the plot on whichever side the line stands.
            let side = if x > 360.0 { HPos::Right } else { HPos::Left };
            text(area, words, (x, 10.0), label(side, VPos::Center))?;
        }
        Ok(())
    });
    Some(Figure {
        finding,
        note: match (limit, scale) {
            (Some(_), Scale::Log { .. }) => {
                "Log scale. The dashed line is the limit of a correct server.".into()
            }
            (Some(_), _) => "The dashed line is the limit of a correct server.".into(),
            (None, Scale::Log { .. }) => "Log scale.".into(),
            (None, _) => String::new(),
        },
        svg,
        legend: Vec::new(),
    })
}

/// From values to shares of the longest bar.
#[derive(Clone, Copy)]
enum Scale {
    Linear { top: f64 },
    Log { bottom: f64, top: f64 },
}

impl Scale {
    /// Logarithmic where the small values would vanish beside the large.
    fn of(values: impl Iterator<Item = f64>) -> Scale {
        let positive: Vec<_> = values.filter(|value| value.is_finite() && *value > 0.0).collect();
        let top = positive.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let bottom = positive.iter().copied().fold(f64::INFINITY, f64::min);
        match positive.as_slice() {
            [] => Scale::Linear { top: 1.0 },
            // A bar that begins at its own value would have no length.
            _ if top / bottom > 50.0 => Scale::Log { bottom: bottom.log10() - 0.5, top: top.log10() },
            _ => Scale::Linear { top },
        }
    }

    fn share(self, value: f64) -> f64 {
        let share = match self {
            Scale::Linear { top } => value / top,
            Scale::Log { bottom, top } => (value.log10() - bottom) / (top - bottom),
        };
        // Zero has no logarithm, and a figure that is not a number has no bar.
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }
}

/// Requests completed and failed in each second of the first round: one plot per variant, all on the same axes.
pub(super) fn seconds(exercise: &ExerciseResult) -> Vec<Figure> {
    let all = || exercise.variants.iter().flat_map(|variant| &variant.series);
    let Some(end) = all().map(|second| second.second + 1).max() else { return Vec::new() };
    let top = all().map(|second| sum(&second.completed) + sum(&second.failed)).max().unwrap_or(0);
    let top = nice_ceiling(top.max(1) as f64);
    exercise.variants.iter().map(|variant| seconds_of(variant, end, top)).collect()
}

/// Completed requests from the ground up, and the failed ones on top of them, as steps of a second.
fn seconds_of(variant: &VariantResult, end: u32, top: f64) -> Figure {
    let mut done = vec![0; end as usize];
    let mut failed = vec![0; end as usize];
    for second in &variant.series {
        done[second.second as usize] += sum(&second.completed);
        failed[second.second as usize] += sum(&second.failed);
    }
    let both: Vec<_> = done.iter().zip(&failed).map(|(done, failed)| done + failed).collect();
    let ground = vec![0; end as usize];

    let note = format!(
        "{} completed, {} failed",
        format::count(done.iter().sum()),
        format::count(failed.iter().sum())
    );
    let title = format!("{}: {note}", variant.name);
    // What went wrong on purpose stands above the columns, numbered as in the key.
    let height = if variant.incidents.is_empty() { 1.0 } else { 1.3 };
    let description = format!("Requests per second over the first round of {}, {end} seconds.", variant.name);
    let svg = draw((250.0, 150.0), Some((&title, &description)), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin_top(fine(9.0))
            .margin_right(fine(8.0))
            .x_label_area_size(fine(24.0))
            .y_label_area_size(fine(46.0))
            .build_cartesian_2d(
                Axis::new(0.0..f64::from(end), time_ticks(end), |x| format!("{x:.0} s")),
                Axis::new(0.0..top * height, vec![0.0, top / 2.0, top], format::number),
            )?;
        chart
            .configure_mesh()
            .set_all_tick_mark_size(fine(4.0))
            .disable_x_mesh()
            .bold_line_style(GRID.line(1.0))
            .axis_style(AXIS.line(1.0))
            .label_style(label(HPos::Center, VPos::Top))
            .draw()?;
        chart.draw_series([
            Polygon::new(band(&ground, &done), DONE.color().filled()),
            Polygon::new(band(&done, &both), FAILED.color().filled()),
        ])?;
        for (number, incident) in (1..).zip(&variant.incidents) {
            let from = incident.from_s.min(f64::from(end));
            let to = incident.to_s.unwrap_or(f64::INFINITY).min(f64::from(end));
            let edge = |at| PathElement::new([(at, 0.0), (at, top * BAR.end)], INCIDENT.line(1.0));
            chart.draw_series([edge(from), edge(to)])?;
            let bar = [(from, top * BAR.start), (to, top * BAR.end)];
            chart.draw_series([Rectangle::new(bar, INCIDENT.color().filled())])?;
            let middle = ((from + to) / 2.0, top * (BAR.end + 0.02));
            let words = Text::new(number.to_string(), middle, label(HPos::Center, VPos::Bottom));
            chart.draw_series([words])?;
        }
        Ok(())
    });
    Figure { finding: variant.name.clone(), note, svg, legend: Vec::new() }
}

fn sum(counts: &BTreeMap<String, u64>) -> u64 {
    counts.values().sum()
}

/// The outline of what lies between two rows of steps.
fn band(bottom: &[u64], top: &[u64]) -> Vec<(f64, f64)> {
    let steps = |heights: &[u64]| -> Vec<(f64, f64)> {
        let sides = heights
            .iter()
            .enumerate()
            .flat_map(|(at, height)| [(at as f64, *height as f64), (at as f64 + 1.0, *height as f64)]);
        sides.collect()
    };
    steps(top).into_iter().chain(steps(bottom).into_iter().rev()).collect()
}

/// Where the bar of an incident lies, as a share of the tallest column.
const BAR: Range<f64> = 1.05..1.1;

/// The key to the plots of [`seconds`].
pub(super) fn seconds_legend(exercise: &ExerciseResult) -> Markup {
    let block = |ink: &Ink| {
        draw((14.0, 14.0), None, |area| {
            area.draw(&Rectangle::new([place(0.0, 0.0), place(14.0, 14.0)], ink.color().filled()))
        })
    };
    html! {
        ul.legend {
            li { (block(&DONE)) span { "completed as expected" } }
            li { (block(&FAILED)) span { "failed or timed out" } }
            // The same in every variant, but for some milliseconds.
            @let incidents = exercise.variants.iter().find(|variant| !variant.incidents.is_empty());
            @for (number, incident) in (1..).zip(incidents.iter().flat_map(|variant| &variant.incidents)) {
                li { (block(&INCIDENT)) span { (number) ": " (format::incident(incident)) } }
            }
        }
    }
}

/// A linear axis with ticks where we want them, and words for them.
struct Axis {
    range: Range<f64>,
    ticks: Vec<f64>,
    words: fn(f64) -> String,
}

impl Axis {
    fn new(range: Range<f64>, ticks: Vec<f64>, words: fn(f64) -> String) -> Axis {
        Axis { range, ticks, words }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        from + (f64::from(to - from) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        (self.words)(*value)
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below `value`.
fn nice_ceiling(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|step| step * decade).into_iter().find(|nice| *nice >= value).unwrap_or(value)
}

/// At most six ticks at round seconds.
fn time_ticks(end: u32) -> Vec<f64> {
    let step = nice_ceiling(f64::from(end) / 5.0).max(1.0);
    (0..).map(|tick| f64::from(tick) * step).take_while(|second| *second <= f64::from(end)).collect()
}

/// Runs the drawing on an empty SVG of the given size and gives it a title and a description.
///
/// Without them it is an ornament, which screen readers pass over.
fn draw(
    (width, height): (f64, f64),
    words: Option<(&str, &str)>,
    drawing: impl FnOnce(&Area<'_>) -> Drawn,
) -> Markup {
    let size = (fine(width) as u32, fine(height) as u32);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        drawing(&area).expect("an SVG in memory takes every drawing");
        area.present().expect("an SVG in memory takes every drawing");
    }
    // The page sizes its plots itself, and inline SVG needs no namespace.
    let drawn = svg.split_once('>').map_or("", |(_, rest)| rest).trim_end().trim_end_matches("</svg>");
    let view = format!("0 0 {} {}", size.0, size.1);
    match words {
        None => {
            html! { svg viewBox=(view) width=(width) height=(height) aria-hidden="true" { (PreEscaped(drawn)) } }
        }
        Some((title, description)) => html! {
            svg viewBox=(view) role="img" {
                title { (title) }
                desc { (description) }
                (PreEscaped(drawn))
            }
        },
    }
}

/// A length of the page in the finer pixels of the drawing.
fn fine(length: f64) -> f64 {
    (length * FINE).round()
}

/// A place of the page in the finer pixels of the drawing.
fn place(x: f64, y: f64) -> (i32, i32) {
    (fine(x) as i32, fine(y) as i32)
}

fn label(across: HPos, along: VPos) -> TextStyle<'static> {
    // The SVG backend divides sizes by 1.24.
    ("sans-serif", LABEL * FINE * 1.24).into_font().color(&TEXT.color()).pos(Pos::new(across, along))
}

fn text(area: &Area<'_>, words: &str, (x, y): (f64, f64), style: TextStyle<'_>) -> Drawn {
    area.draw(&Text::new(words, place(x, y), style))
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.into();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_axis_gives_every_nine_the_same_room() {
        let places = [90.0, 99.0, 99.9].map(tail);
        for (place, expected) in places.into_iter().zip([1.0, 2.0, 3.0]) {
            assert!((place - expected).abs() < 1e-9, "{place} is not {expected}");
        }
    }

    #[test]
    fn a_wide_spread_takes_a_log_scale_on_which_the_smallest_bar_can_be_seen() {
        let scale = Scale::of([1.0, 401.0].into_iter());
        assert!(matches!(scale, Scale::Log { .. }));
        assert!(scale.share(1.0) > 0.1);
        assert_eq!(scale.share(401.0), 1.0);
        assert_eq!(scale.share(0.0), 0.0);
        assert!(matches!(Scale::of([100.0, 137.0].into_iter()), Scale::Linear { .. }));
    }

    #[test]
    fn a_scale_of_nothing_has_no_bars() {
        assert_eq!(Scale::of([0.0, f64::NAN].into_iter()).share(0.0), 0.0);
        assert_eq!(Scale::of([].into_iter()).share(f64::NAN), 0.0);
    }

    #[test]
    fn a_band_goes_along_its_top_and_back_along_its_bottom() {
        let outline = band(&[0, 1], &[3, 4]);
        assert_eq!(
            outline,
            [(0.0, 3.0), (1.0, 3.0), (1.0, 4.0), (2.0, 4.0), (2.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)]
        );
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(nice_ceiling(137.0), 200.0);
        assert_eq!(nice_ceiling(1.0), 1.0);
        assert_eq!(time_ticks(10), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(log_ticks(2.9, 4.1).len(), 4);
    }
}
