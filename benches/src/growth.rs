//! Draws how the time of a call grows with the data, one SVG for each exercise, from what criterion measured.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use comfy_table::{Table, presets};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use target_app::catalogue::{self, Kind};
use target_app::exercises;

/// Options of `growth`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where criterion keeps its results
    #[arg(long, env = "CRITERION_HOME", default_value = "target/criterion", value_name = "DIR")]
    results: PathBuf,
    /// Where the drawings go
    #[arg(long, default_value = "docs/images", value_name = "DIR")]
    out: PathBuf,
}

/// Draws all charts and prints their numbers as Markdown.
pub fn run(args: Args) -> ExitCode {
    match draw_all(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One drawing: a group of benchmarks called `group/variant/size`.
struct Chart {
    exercise: &'static str,
    group: &'static str,
    title: &'static str,
    /// What the sizes count.
    size: &'static str,
}

const CHARTS: &[Chart] = &[
    Chart::of(
        "oversold-stock",
        "Time until all carts are orders",
        "carts at once, all with the same product",
    ),
    Chart::of("slow-order-list", "Time of one list", "orders in the list"),
    Chart::of("frozen-health", "Time to make a report", "orders in the report"),
    Chart {
        group: "frozen-health-wait",
        ..Chart::of(
            "frozen-health",
            "Mean wait of another task while the report is made",
            "orders in the report",
        )
    },
    Chart::of("slow-analytics", "Time of one analytics call", "orders of the restaurant"),
    Chart::of("hung-payments", "Time of one payment", "payments in the table"),
    Chart::of("double-charge", "Time of one checkout", "keys in the table"),
    Chart::of(
        "sale-meltdown",
        "Time until all buyers have a reservation",
        "buyers at once, of the same sale",
    ),
    Chart::of("skipped-in-line", "Time until a piece that was given back is held again", "buyers who wait"),
];

impl Chart {
    const fn of(exercise: &'static str, title: &'static str, size: &'static str) -> Self {
        Chart { exercise, group: exercise, title, size }
    }
}

fn draw_all(args: &Args) -> anyhow::Result<()> {
    let mut measured = Measured::default();
    read(&args.results, &mut measured)
        .with_context(|| format!("could not read criterion's results in {}", args.results.display()))?;
    fs::create_dir_all(&args.out).with_context(|| format!("could not create {}", args.out.display()))?;
    let (there, missing): (Vec<&Chart>, Vec<&Chart>) =
        CHARTS.iter().partition(|chart| measured.keys().any(|(group, _)| group == chart.group));
    let bench = "cargo bench -p benches --bench exercises";
    anyhow::ensure!(!there.is_empty(), "no exercise has been measured yet; run `{bench}`");
    for chart in there {
        let curves = chart.curves(&measured)?;
        let path = args.out.join(format!("growth-{}.svg", chart.group));
        fs::write(&path, chart.draw(&curves))
            .with_context(|| format!("could not write {}", path.display()))?;
        println!("{}, by {}\n\n{}\n", chart.title, chart.size, table(&curves));
    }
    for chart in missing {
        eprintln!("not measured, and not drawn: {} (run `{bench} -- {}`)", chart.group, chart.exercise);
    }
    Ok(())
}

/// Median nanoseconds of a call, by group, variant and size.
type Measured = BTreeMap<(String, String), BTreeMap<u64, f64>>;

/// What is used of `benchmark.json`.
#[derive(Deserialize)]
struct BenchmarkId {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
}

/// What is used of `estimates.json`.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// Adds the newest results below a directory. A benchmark is known by what its file says, since criterion shortens the
/// names of directories.
fn read(directory: &Path, measured: &mut Measured) -> anyhow::Result<()> {
    let newest = directory.join("new");
    if newest.join("benchmark.json").exists() {
        let BenchmarkId { group_id, function_id, value_str } = parse(&newest.join("benchmark.json"))?;
        if let (Some(variant), Some(Ok(size))) = (function_id, value_str.map(|size| size.parse())) {
            let estimates: Estimates = parse(&newest.join("estimates.json"))?;
            measured.entry((group_id, variant)).or_default().insert(size, estimates.median.point_estimate);
        }
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            read(&entry.path(), measured)?;
        }
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not what criterion writes", path.display()))
}

/// A variant's times: sizes and nanoseconds, ascending by size.
struct Curve {
    variant: &'static catalogue::Variant,
    points: Vec<(u64, f64)>,
}

impl Curve {
    /// The last time by the first.
    fn growth(&self) -> f64 {
        match self.points.as_slice() {
            [first, .., last] => last.1 / first.1,
            _ => 1.0,
        }
    }
}

impl Chart {
    /// One curve for each variant, in the catalogue's order.
    ///
    /// # Errors
    /// When a variant was not measured, at no size or at another's sizes, or took no time at all.
    fn curves(&self, measured: &Measured) -> anyhow::Result<Vec<Curve>> {
        let exercise = exercises::exercise(self.exercise)?;
        let mut curves: Vec<Curve> = Vec::new();
        for variant in exercise.variants {
            let found = measured.get(&(self.group.to_owned(), variant.name.to_owned()));
            let points: Vec<_> = found.into_iter().flatten().map(|(size, nanos)| (*size, *nanos)).collect();
            let sizes = |points: &[(u64, f64)]| points.iter().map(|point| point.0).collect::<Vec<_>>();
            let complete = !points.is_empty()
                && points.iter().all(|(size, nanos)| *size > 0 && nanos.is_finite() && *nanos > 0.0)
                && curves.first().is_none_or(|first| sizes(&first.points) == sizes(&points));
            anyhow::ensure!(
                complete,
                "the results of {}/{} are missing or incomplete; run `cargo bench -p benches --bench exercises -- {}`",
                self.group,
                variant.name,
                exercise.id
            );
            curves.push(Curve { variant, points });
        }
        Ok(curves)
    }

    fn draw(&self, curves: &[Curve]) -> String {
        let size = (px(WIDTH), px(HEIGHT));
        let mut drawn = String::new();
        {
            let area =
                SVGBackend::with_string(&mut drawn, (size.0 as u32, size.1 as u32)).into_drawing_area();
            self.draw_on(&area, curves).expect("an SVG in memory takes every drawing");
            area.present().expect("an SVG in memory takes every drawing");
        }
        let content = drawn.split_once('>').map_or("", |(_, content)| content);
        let values = curves.iter().map(|curve| {
            let points =
                curve.points.iter().map(|(size, nanos)| format!("{} at {}", time(*nanos), count(*size)));
            format!("{}: {}", curve.variant.name, points.collect::<Vec<_>>().join(", "))
        });
        let dark: String = INKS
            .iter()
            .map(|ink| {
                let hex = ink.hex();
                format!("[fill=\"{hex}\"]{{fill:{0}}}[stroke=\"{hex}\"]{{stroke:{0}}}", ink.dark)
            })
            .collect();
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             viewBox=\"0 0 {} {}\">\n<title>{}, by {}</title>\n<desc>{}.</desc>\n\
             <style>@media (prefers-color-scheme:dark){{{dark}}}</style>{content}",
            size.0,
            size.1,
            self.title,
            self.size,
            values.collect::<Vec<_>>().join("; "),
        )
    }

    fn draw_on(&self, area: &Area<'_>, curves: &[Curve]) -> Drawn {
        let points = || curves.iter().flat_map(|curve| &curve.points);
        let across = LogAxis::over(points().map(|point| point.0 as f64), 0.06, LEFT..WIDTH - 130.0);
        let up = LogAxis::over(points().map(|point| point.1), 0.05, HEIGHT - 56.0..48.0);

        area.fill(&PAGE.color())?;
        label(area, self.title, (16.0, 22.0), HPos::Left, &STRONG)?;
        for tick in up.ticks() {
            let y = up.place(tick);
            area.draw(&line(&[(LEFT, y), (WIDTH - 130.0, y)], &GRID, 1.0))?;
            label(area, &time(tick), (LEFT - 8.0, y), HPos::Right, &TEXT)?;
        }
        for (size, _) in curves.iter().take(1).flat_map(|curve| &curve.points) {
            let x = across.place(*size as f64);
            area.draw(&line(&[(x, 48.0), (x, HEIGHT - 56.0)], &GRID, 1.0))?;
            label(area, &count(*size), (x, HEIGHT - 42.0), HPos::Center, &TEXT)?;
        }
        label(area, self.size, ((LEFT + WIDTH - 130.0) / 2.0, HEIGHT - 20.0), HPos::Center, &TEXT)?;

        let mut ends = Vec::new();
        for ((curve, ink), corners) in
            curves.iter().zip(inks(curves)).zip([20, 4, 3, 5, 6].into_iter().cycle())
        {
            let places: Vec<_> = curve
                .points
                .iter()
                .map(|(size, nanos)| (across.place(*size as f64), up.place(*nanos)))
                .collect();
            area.draw(&line(&places, ink, 2.5))?;
            for place in &places {
                let corner = |n: usize| {
                    let angle = TAU * (n as f64 / corners as f64 - 0.25);
                    (px(place.0 + 5.0 * angle.cos()), px(place.1 + 5.0 * angle.sin()))
                };
                area.draw(&Polygon::new((0..corners).map(corner).collect::<Vec<_>>(), ink.color().filled()))?;
            }
            ends.extend(places.last().map(|(x, y)| (*x, *y, curve, ink)));
        }
        ends.sort_by(|one, other| one.1.total_cmp(&other.1));
        let places = apart(ends.iter().map(|end| end.1), 18.0, HEIGHT - 56.0);
        for ((x, _, curve, ink), y) in ends.into_iter().zip(places) {
            let words = format!("{} {}", curve.variant.name, factor(curve.growth()));
            label(area, &words, (x + 12.0, y), HPos::Left, ink)?;
        }
        Ok(())
    }
}

/// The curves' numbers as Markdown, with how often the last time holds the first.
fn table(curves: &[Curve]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let sizes = curves.iter().take(1).flat_map(|curve| &curve.points).map(|point| count(point.0));
    table.set_header(["variant".to_owned()].into_iter().chain(sizes).chain(["growth".to_owned()]));
    for curve in curves {
        let times = curve.points.iter().map(|point| time(point.1));
        table.add_row(
            [format!("`{}`", curve.variant.name)].into_iter().chain(times).chain([factor(curve.growth())]),
        );
    }
    table
}

const WIDTH: f64 = 680.0;
const HEIGHT: f64 = 400.0;
/// Where the plot begins, after the words of the upward axis.
const LEFT: f64 = 76.0;
/// Plotters places everything on whole pixels: four to one of the drawing keep lines smooth.
const FINE: f64 = 4.0;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// A colour on a light page, and on a dark one.
struct Ink {
    light: (u8, u8, u8),
    dark: &'static str,
}

impl Ink {
    fn color(&self) -> RGBColor {
        RGBColor(self.light.0, self.light.1, self.light.2)
    }

    /// As plotters writes it.
    fn hex(&self) -> String {
        let (red, green, blue) = self.light;
        format!("#{red:02X}{green:02X}{blue:02X}")
    }
}

const PAGE: Ink = Ink { light: (0xFD, 0xFD, 0xFE), dark: "#14171c" };
const STRONG: Ink = Ink { light: (0x1A, 0x1D, 0x23), dark: "#f2f4f8" };
const TEXT: Ink = Ink { light: (0x4A, 0x52, 0x60), dark: "#a9b1be" };
const GRID: Ink = Ink { light: (0xE3, 0xE6, 0xEB), dark: "#2b313b" };
const BUGGY: Ink = Ink { light: (0xC8, 0x4A, 0x0C), dark: "#f58b4c" };
const FIXED: Ink = Ink { light: (0x0B, 0x63, 0xB0), dark: "#5fb0f5" };
const TEMPTING: [Ink; 3] = [
    Ink { light: (0x8A, 0x4F, 0xA3), dark: "#c997e0" },
    Ink { light: (0x0E, 0x84, 0x78), dark: "#4cc7b8" },
    Ink { light: (0x9A, 0x71, 0x00), dark: "#dcb43a" },
];
const INKS: [&Ink; 9] =
    [&PAGE, &STRONG, &TEXT, &GRID, &BUGGY, &FIXED, &TEMPTING[0], &TEMPTING[1], &TEMPTING[2]];

/// One colour for each curve.
fn inks(curves: &[Curve]) -> impl Iterator<Item = &'static Ink> {
    let mut tempting = TEMPTING.iter().cycle();
    curves.iter().map(move |curve| match curve.variant.kind {
        Kind::Buggy => &BUGGY,
        Kind::Fixed => &FIXED,
        Kind::Tempting => tempting.next().expect("a cycle has no end"),
    })
}

/// From values to places, by their logarithms.
struct LogAxis {
    values: Range<f64>,
    places: Range<f64>,
}

impl LogAxis {
    /// Holds all the values, with this share of room before the first and after the last.
    fn over(values: impl Iterator<Item = f64>, room: f64, places: Range<f64>) -> Self {
        let (low, high) = values
            .map(f64::log10)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        // A single value still has an axis.
        let room = ((high - low) * room).max(0.1);
        LogAxis { values: low - room..high + room, places }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value.log10() - self.values.start) / (self.values.end - self.values.start);
        self.places.start + share * (self.places.end - self.places.start)
    }

    /// The powers of ten on the axis; their doubles and fivefolds, too, where there are not enough of them.
    fn ticks(&self) -> Vec<f64> {
        let decades = self.values.start.floor() as i32..=self.values.end.floor() as i32;
        let of = |steps: &[f64]| -> Vec<f64> {
            let all =
                decades.clone().flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
            all.filter(|tick| self.values.contains(&tick.log10())).collect()
        };
        let powers = of(&[1.0]);
        if powers.len() < 3 { of(&[1.0, 2.0, 5.0]) } else { powers }
    }
}

/// The nearest places to ascending ones that are at least `gap` apart and not below `lowest`.
fn apart(wanted: impl Iterator<Item = f64>, gap: f64, lowest: f64) -> Vec<f64> {
    let mut places: Vec<f64> = Vec::new();
    for place in wanted {
        places.push(places.last().map_or(place, |last| place.max(last + gap)));
    }
    let mut limit = lowest;
    for place in places.iter_mut().rev() {
        *place = place.min(limit);
        limit = *place - gap;
    }
    places
}

fn px(length: f64) -> i32 {
    (length * FINE).round() as i32
}

fn line(places: &[(f64, f64)], ink: &Ink, width: f64) -> PathElement<(i32, i32)> {
    let places: Vec<_> = places.iter().map(|(x, y)| (px(*x), px(*y))).collect();
    PathElement::new(places, ink.color().stroke_width(px(width) as u32))
}

fn label(area: &Area<'_>, words: &str, (x, y): (f64, f64), side: HPos, ink: &Ink) -> Drawn {
    // The SVG backend divides sizes by 1.24.
    let font = ("sans-serif", 14.0 * FINE * 1.24).into_font().color(&ink.color());
    area.draw(&Text::new(words, (px(x), px(y)), font.pos(Pos::new(side, VPos::Center))))
}

/// Nanoseconds in the unit that suits them, to three digits.
fn time(nanos: f64) -> String {
    // What would be rounded up to a thousand of a unit is one of the next.
    let (unit, divisor) = match nanos {
        nanos if nanos < 999.5 => ("ns", 1.0),
        nanos if nanos < 999.5e3 => ("µs", 1e3),
        nanos if nanos < 999.5e6 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    format!("{} {unit}", digits(nanos / divisor))
}

fn factor(factor: f64) -> String {
    format!("×{}", digits(factor))
}

/// Three significant digits, without zeros at the end of decimal places.
fn digits(value: f64) -> String {
    let places = (2 - value.abs().log10().floor() as i32).clamp(0, 3) as usize;
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A number with its thousands apart.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results in criterion's layout: one file of ids and one of estimates for each benchmark.
    fn results(skip: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for chart in CHARTS {
            for (nth, variant) in exercises::exercise(chart.exercise).unwrap().variants.iter().enumerate() {
                for size in [10, 100, 1_000_u32] {
                    let id = format!("{}/{}/{size}", chart.group, variant.name);
                    if id == skip {
                        continue;
                    }
                    let new = root.path().join(&id).join("new");
                    fs::create_dir_all(&new).unwrap();
                    let names = serde_json::json!({
                        "group_id": chart.group, "function_id": variant.name, "value_str": size.to_string()
                    });
                    let nanos = f64::from(size) * 1e4 * (nth + 1) as f64;
                    let estimates = serde_json::json!({ "median": { "point_estimate": nanos } });
                    fs::write(new.join("benchmark.json"), names.to_string()).unwrap();
                    fs::write(new.join("estimates.json"), estimates.to_string()).unwrap();
                }
            }
        }
        root
    }

    #[test]
    fn every_exercise_is_drawn_with_its_numbers_in_words() {
        let exercises: std::collections::BTreeSet<_> = CHARTS.iter().map(|chart| chart.exercise).collect();
        assert_eq!(exercises, exercises::EXERCISES.iter().map(|exercise| exercise.id).collect());

        let root = results("");
        let out = root.path().join("images");
        draw_all(&Args { results: root.path().to_owned(), out: out.clone() }).unwrap();
        for chart in CHARTS {
            let svg = fs::read_to_string(out.join(format!("growth-{}.svg", chart.group))).unwrap();
            assert!(svg.contains("<desc>buggy: 100 µs at 10, 1 ms at 100, 10 ms at 1,000; "), "{svg}");
            assert!(svg.contains("buggy ×100") && svg.contains("fixed ×100"), "{svg}");
            assert!(svg.trim_end().ends_with("</svg>"), "{svg}");
        }
    }

    #[test]
    fn what_was_not_measured_is_left_as_it_is() {
        let root = results("");
        fs::remove_dir_all(root.path().join("slow-analytics")).unwrap();
        let out = root.path().join("images");
        draw_all(&Args { results: root.path().to_owned(), out: out.clone() }).unwrap();
        assert!(
            out.join("growth-oversold-stock.svg").exists() && !out.join("growth-slow-analytics.svg").exists()
        );
    }

    #[test]
    fn missing_and_broken_results_are_named() {
        let fails = |root: &tempfile::TempDir| {
            let args = Args { results: root.path().to_owned(), out: root.path().join("images") };
            format!("{:#}", draw_all(&args).unwrap_err())
        };
        let missing = fails(&results("slow-analytics/fixed/100"));
        assert!(
            missing.contains("slow-analytics/fixed")
                && missing.contains("--bench exercises -- slow-analytics"),
            "{missing}"
        );

        assert!(fails(&tempfile::tempdir().unwrap()).contains("no exercise has been measured yet"));

        let broken = results("");
        fs::write(broken.path().join("slow-analytics/fixed/100/new/estimates.json"), "{}").unwrap();
        assert!(fails(&broken).contains("estimates.json is not what criterion writes"), "{}", fails(&broken));

        let zero = results("");
        let estimates = r#"{"median":{"point_estimate":0.0}}"#;
        fs::write(zero.path().join("slow-analytics/fixed/100/new/estimates.json"), estimates).unwrap();
        assert!(fails(&zero).contains("missing or incomplete"), "{}", fails(&zero));
    }

    #[test]
    fn an_axis_has_at_least_three_ticks() {
        let ticks = |values: [f64; 2]| LogAxis::over(values.into_iter(), 0.0, 0.0..1.0).ticks();
        assert_eq!(ticks([90.0, 1.1e6]), [1e2, 1e3, 1e4, 1e5, 1e6]);
        assert_eq!(ticks([3.0, 40.0]), [5.0, 10.0, 20.0, 50.0]);
    }

    #[test]
    fn labels_keep_apart_and_above_the_axis() {
        assert_eq!(apart([10.0, 12.0, 90.0].into_iter(), 18.0, 100.0), [10.0, 28.0, 90.0]);
        assert_eq!(apart([95.0, 96.0].into_iter(), 18.0, 100.0), [82.0, 100.0]);
    }

    #[test]
    fn times_take_the_unit_that_suits_them() {
        for (nanos, words) in [(7.0, "7 ns"), (999.7, "1 µs"), (1_234_567.0, "1.23 ms"), (2.5e10, "25 s")] {
            assert_eq!(time(nanos), words);
        }
        assert_eq!((count(100), count(10_000)), ("100".into(), "10,000".into()));
    }
}
