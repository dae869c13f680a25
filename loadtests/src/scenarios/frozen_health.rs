//! `frozen-health`: the health check is asked alone, then beside more reports than the machine can render, some of whose
//! readers leave before they have one.

mod contract;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::RngExt;
use rand_pcg::Pcg64;
use target_app::exercises::frozen_health::EXERCISE;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::{Clause, Shape, Spec, WARM_UP};
use crate::api::Api;
use crate::checks::{Audit, Findings, check, machine_p99, ms, p99_within, signal, signal_to_keep_up, within};
use crate::hint::Hinted;
use crate::load::{Answer, Load, Outcome, Request, Ticket, Timeline, arrivals, lock, status_reason};
use crate::results::CheckResult;
use crate::shop::{self, User};

/// Health checks a second.
const HEALTH_RATE: f64 = 200.0;
/// How long the health check is asked alone, after the warm-up.
const IDLE: Duration = Duration::from_millis(500);
/// Reports offered, as a multiple of what all processors together could render.
const OVERLOAD: f64 = 4.0;
/// Reports a second offered for each processor at most: a server that renders a report in less than 30 ms, or remembers it,
/// need not refuse any.
const MOST_PER_PROCESSOR: f64 = 100.0;
/// A p99 within this is quick, whatever the idle one was: a health check times out after seconds.
const QUICK_US: u64 = 10_000;
/// Of this many readers, one leaves before the report.
const LEAVER: u32 = 10;
/// Parts of the rush, in each of which reports have to be delivered.
const PARTS: usize = 3;
/// Of what all processors together could render, what has to be delivered: they are shared with the load and the database, and
/// half of them may be kept free for everything else.
const LEAST_SHARE: f64 = 1.0 / 12.0;
/// Of all processor time, what others may have without anything being put down to them.
const OTHERS: f64 = 0.15;
/// How often a report is asked for alone, and how often one is rendered for comparison. The quickest counts, because noise
/// only slows down.
const ALONE: usize = 4;
/// What a report that is asked for alone may take, in renderings.
const RENDERINGS: u32 = 3;
/// What it may take beside them: the query, and the way.
const WAY: Duration = Duration::from_millis(15);
/// How long the server may take to be as before, when the load is over: longer than any client is told to wait.
const RECOVERY: Duration = Duration::from_secs(4);
/// Of this many reports, one is of somebody with few orders.
const SHORT: u32 = 5;
/// For how long a crowd that wants short reports at one moment would keep all processors busy, had they nothing else to do.
/// Code that renders on the spot what is short keeps the health check waiting meanwhile.
const CROWD_TIME: Duration = Duration::from_millis(80);
/// What a health check may take beside it: far less than the crowd, and more than its queries take.
const BESIDE_SHORT: Duration = Duration::from_millis(15);
/// How often there is such a crowd. The best counts, because noise only slows down.
const TRIES: usize = 2;
/// Readers in such a crowd at most, for each processor.
const CROWD_MOST: f64 = 16.0;
/// What a report may take, or its refusal.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two orders of somebody who then asks for the report that has to have them.
const NEWS: Duration = Duration::from_millis(150);
/// Readers for each processor who leave, one after the other, when the load is over.
const CROWD: u32 = 45;
/// What the next reader may wait for then, in renderings: those that were begun and in line, and the own one.
const RENDERINGS_AFTER_A_CROWD: u32 = 7;

pub struct Scenario;

impl super::Scenario for Scenario {
    const SPEC: &'static Spec = &Spec {
        exercise: &EXERCISE,
        shape: Shape { rate: None, duration: Duration::from_millis(2_000), replicas: 1 },
        total_rate: |rate| HEALTH_RATE + rate.unwrap_or(processors() * MOST_PER_PROCESSOR),
        needs: &[("health-idle", 50), ("health", 100), ("report", 10)],
        patience: PATIENCE,
        // As the health check.
        reference_statements: 0,
        limits: &[Duration::from_micros(QUICK_US)],
        // The health check is asked alone first.
        needs_schedule: true,
        // Of many workers, some would be free whatever the others do.
        server: &["--worker-threads", "2"],
        providers: false,
    };

    type Round = Round;

    async fn contract(api: &Api, clause: &mut Clause) -> anyhow::Result<()> {
        contract::check(api, clause).await
    }

    async fn prepare(api: &Api, shape: &Shape, mut rng: Pcg64) -> anyhow::Result<(Round, Vec<Ticket>)> {
        let user = shop::user(api, shop::HEAVY_USER).await?.id;
        let users = shop::users(api).await?;
        let second = contract::second_reader(&users).cloned();
        let second = second.ok_or_else(|| Hinted::unseeded("there are fewer than three users"))?;
        let mut third = None;
        for other in users.iter().filter(|other| other.id != user && other.id != second.id) {
            third = third.max(Some((shop::orders(api, other.id).await?.len(), other.id)));
        }
        let (few, third) = third.ok_or_else(|| Hinted::unseeded("there are fewer than four users"))?;
        // What the contract found to be complete.
        let reports =
            [(path(user), report_of(api, user).await?), (path(third), report_of(api, third).await?)];
        let pages = shop::orders(api, user).await?.len();
        let rendering = processor_time(api, pages).await?;
        let capacity = processors() / rendering.as_secs_f64();
        let rate = shape.rate.unwrap_or((OVERLOAD * capacity).min(processors() * MOST_PER_PROCESSOR));

        let reports_from = WARM_UP + IDLE;
        let mut tickets = Vec::new();
        for at in arrivals::constant(HEALTH_RATE, shape.duration) {
            let name = if at < reports_from { "health-idle" } else { "health" };
            tickets.push(Ticket { at, request: Request::get(name, "/health") });
        }
        let rush = shape.duration.saturating_sub(reports_from);
        for at in arrivals::poisson(&mut rng, rate, rush) {
            let hang_up =
                rng.random_ratio(1, LEAVER).then(|| Duration::from_millis(rng.random_range(1..200)));
            let request = match hang_up {
                Some(_) => Request { hang_up, ..Request::get("leaver", path(user)) },
                None if rng.random_ratio(1, SHORT) => Request::get("short-report", path(third)),
                None => Request::get("report", path(user)),
            };
            tickets.push(Ticket { at: reports_from + at, request });
        }
        let short = rendering.mul_f64(few as f64 / pages.max(1) as f64);
        let crowd = (processors() * CROWD_TIME.div_duration_f64(short.max(Duration::from_micros(1))))
            .min(processors() * CROWD_MOST) as usize;
        let least = LEAST_SHARE * capacity.min(rate) * rush.as_secs_f64();
        let round = Round {
            rate,
            crowd,
            pages,
            user,
            third,
            reports: reports.into(),
            second,
            news: Mutex::default(),
            rush: (reports_from, shape.duration),
            least: least.ceil() as usize,
            least_in_part: (least / PARTS as f64).floor().max(1.0) as usize,
            delivered: Mutex::default(),
        };
        Ok((round, tickets))
    }

    fn objectives(load: &Load) -> Findings {
        let idle = load.response("health-idle").value_at_quantile(0.99);
        let busy = load.response("health").value_at_quantile(0.99);
        let quick = (2 * idle).max(QUICK_US);
        let delivered = load.count("report", "ok");
        let (offered, unclean) = ended_uncleanly(load);
        let health = ["health-idle", "health"];
        let asked: u64 = health.iter().map(|name| load.response(name).len()).sum();
        let unhealthy = asked - health.iter().map(|name| load.count(name, "ok")).sum::<u64>();
        let mut health = p99_within(&EXERCISE, "health-p99", load, "health", quick);
        if unhealthy > 0 {
            health.held = false;
            health.doubt = None;
            health.observed += &format!(", and {unhealthy} of {asked} not 200");
        }
        health.expected = format!("each 200, and {} (idle: {})", health.expected, ms(idle));
        Findings {
            checks: vec![
                health,
                check(
                    &EXERCISE,
                    "only-clean-refusals",
                    unclean == 0,
                    format!(
                        "within {} s, every report ends in 200 or in 503 with Retry-After",
                        PATIENCE.as_secs()
                    ),
                    format!("{unclean} of {offered} failed, came too late or were still waiting"),
                ),
            ],
            signals: vec![
                signal("health p99 during reports", busy as f64 / 1000.0, "ms", Some(quick as f64 / 1000.0)),
                signal("health p99 of the machine itself", machine_p99(load) as f64 / 1000.0, "ms", None),
                signal_to_keep_up("reports delivered", delivered as f64, "reports", None),
            ],
        }
    }
}

/// How many reports were asked for, and how many of them ended neither in a report nor in a refusal.
fn ended_uncleanly(load: &Load) -> (u64, u64) {
    let reports = ["report", "short-report"];
    let offered: u64 = reports.iter().map(|name| load.response(name).len()).sum();
    let clean: u64 = reports.iter().map(|name| load.count(name, "ok") + load.count(name, "busy")).sum();
    (offered, offered - clean)
}

fn path(user: Uuid) -> String {
    format!("/reports/orders/{user}")
}

/// The user's report. Who asks alone is not refused.
async fn report_of(api: &Api, user: Uuid) -> anyhow::Result<Vec<u8>> {
    let reply = api.ask(reqwest::Method::GET, &path(user), None, None).await?.with_status(200)?;
    let kind = reply.headers.get(reqwest::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    ensure!(kind == Some("application/pdf"), "the report is called {}", kind.unwrap_or("nothing"));
    Ok(reply.body)
}

/// How long the reference server takes to render a report of so many pages when nobody else asks it for one, the quickest of
/// some, and what that takes of a processor. By the lab's own code, because slow code must not be asked for less.
async fn rendering(api: &Api, pages: usize) -> anyhow::Result<(Duration, Duration)> {
    let (mut quickest, mut least) = (Duration::MAX, Duration::MAX);
    for _ in 0..ALONE {
        let (micros, took) = api.reference(&format!("/?pages={pages}")).await?;
        quickest = quickest.min(took);
        least = least.min(Duration::from_micros(micros.parse()?));
    }
    Ok((quickest, least))
}

/// The processor time of a rendering, measured once for all rounds of this process, so that all variants get one schedule. On a
/// busy machine it takes longer, and the reports that are asked for must be too many all the same.
async fn processor_time(api: &Api, pages: usize) -> anyhow::Result<Duration> {
    static TIME: OnceCell<Duration> = OnceCell::const_new();
    TIME.get_or_try_init(async || Ok(rendering(api, pages).await?.1)).await.copied()
}

/// Why few reports, or late ones, may not be the server's fault: a rendering that nobody else asked for took much longer than
/// it needs of a processor.
fn slow_rendering(rendering: Duration, processor: Duration) -> Option<String> {
    (rendering > processor * 3 / 2)
        .then(|| format!("the machine was busy: a rendering of {processor:.1?} took {rendering:.1?}"))
}

/// The same, because others had a good part of the processors during the load.
fn busy_others(api: &Api, load: &Load) -> Option<String> {
    // A server that was not started here is one of the others.
    let share = load.cpu.filter(|_| api.counts_statements())?.others_share();
    (share > OTHERS)
        .then(|| format!("the machine was busy: others had {:.0} % of its processor time", share * 100.0))
}

fn processors() -> f64 {
    std::thread::available_parallelism().map_or(2, usize::from) as f64
}

pub struct Round {
    rate: f64,
    /// Readers of a crowd that wants short reports.
    crowd: usize,
    /// Pages of the report.
    pages: usize,
    user: Uuid,
    /// Who has few orders, but more than others with few.
    third: Uuid,
    /// By their paths.
    reports: HashMap<String, Vec<u8>>,
    /// Who buys and reads beside the load.
    second: User,
    /// Reports without the order that had been placed before they were asked for.
    news: Mutex<Vec<String>>,
    /// When the reports begin and end.
    rush: (Duration, Duration),
    /// Reports that have to be delivered in the rush, and in each part of it.
    least: usize,
    least_in_part: usize,
    /// When reports were delivered.
    delivered: Mutex<Vec<Duration>>,
}

impl super::Round for Round {
    fn describe(&self, servers: &str) -> String {
        format!(
            "{HEALTH_RATE:.0} health checks a second; after {} ms alone, beside Poisson arrivals of {:.0} reports a second over {servers}, \
             {OVERLOAD:.0} times what the processors can render unless that is very quick. One report in {SHORT} is short, \
             and one reader in {LEAVER} hangs up",
            IDLE.as_millis(),
            self.rate,
        )
    }

    /// Somebody buys and wants to see it in the report.
    async fn beside(&self, api: &Api, _: &Timeline) {
        loop {
            tokio::time::sleep(NEWS).await;
            if let Err(flaw) = self.ensure_news(api).await
                && !flaw.chain().any(|cause| cause.is::<reqwest::Error>())
            {
                lock(&self.news).push(format!("{flaw:#}"));
            }
        }
    }

    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome {
        let report = self.reports.get(&request.path);
        match (request.name, answer.status) {
            (_, 200) if report.is_some_and(|report| answer.body[..] != report[..]) => {
                Outcome::Failed("altered-report")
            }
            (name, 200) => {
                if name == "report" {
                    lock(&self.delivered).push(answer.done);
                }
                Outcome::Ok
            }
            (_, 503) if report.is_some() && answer.headers.contains_key("retry-after") => {
                Outcome::Expected("busy")
            }
            (_, status) => Outcome::Failed(status_reason(status)),
        }
    }

    async fn audit(&self, api: &Api, load: &Load) -> anyhow::Result<Audit> {
        // Now, and not when the load was planned: the machine may have become busy with something else.
        let (rendering, processor) = rendering(api, self.pages).await?;
        let others = busy_others(api, load);
        let (recovered, slow) = match self.recover(api, rendering).await {
            // Of a server that has failed already, a crowd that leaves would show nothing new.
            Ok(words) if ended_uncleanly(load).1 == 0 => {
                (self.after_a_crowd(api, rendering).await.map(|()| words), others.clone())
            }
            Ok(words) => (Ok(words), None),
            Err(late) => {
                // The machine may have become busy since.
                let rendering = rendering.max(self::rendering(api, self.pages).await?.0);
                (Err(late), slow_rendering(rendering, processor).or(others.clone()))
            }
        };
        let what = format!("each health check beside {} short reports", self.crowd);
        let short_reports = match self.beside_short_reports(api).await {
            Ok((health, machine)) => {
                within(&EXERCISE, "short-reports", (&what, health), BESIDE_SHORT, machine)
            }
            // A reference server that is gone is nobody's fault.
            Err(error) if error.is::<Hinted>() => return Err(error),
            Err(error) => check(&EXERCISE, "short-reports", false, what, format!("{error:#}")),
        };
        let altered: u64 =
            ["report", "short-report", "leaver"].map(|name| load.count(name, "altered-report")).iter().sum();
        let news = lock(&self.news).first().cloned();
        let delivered = load.count("report", "ok");
        let refused = load.count("report", "busy");
        let offered = load.response("report").len();
        let parts = self.delivered_in_parts();
        let few = parts.iter().sum::<usize>() < self.least
            || parts.iter().any(|delivered| *delivered < self.least_in_part);
        let words: Vec<String> = parts.iter().map(usize::to_string).collect();
        let checks = vec![
            check(
                &EXERCISE,
                "reports-identical",
                altered == 0 && news.is_none(),
                "the same bytes each time, and those of the orders there are",
                match news {
                    Some(flaw) => format!("of an order placed during the rush: {flaw}"),
                    None => format!("{altered} of {} differ", delivered + altered),
                },
            ),
            CheckResult {
                doubt: slow_rendering(rendering, processor).or(others).filter(|_| few),
                ..check(
                    &EXERCISE,
                    "reports-delivered",
                    !few,
                    format!(
                        "at least {} in each third of the rush, and {} in all",
                        self.least_in_part, self.least
                    ),
                    format!("{} delivered", words.join(", ")),
                )
            },
            short_reports,
            CheckResult {
                doubt: slow.filter(|_| recovered.is_err()),
                ..check(
                    &EXERCISE,
                    "recovers",
                    recovered.is_ok(),
                    format!(
                        "within {} s, a report alone takes at most {RENDERINGS} times its rendering and {WAY:?}",
                        RECOVERY.as_secs()
                    ),
                    recovered.unwrap_or_else(|error| format!("{error:#}")),
                )
            },
        ];
        let sentence = format!("of {offered} reports {delivered} delivered, {refused} refused in time");
        Ok(Audit { sentence, findings: Findings { checks, signals: Vec::new() } })
    }
}

impl Round {
    /// Reports that were delivered in each part of the rush. What came after it counts for the last one: no report is late
    /// that was asked for at the end.
    fn delivered_in_parts(&self) -> [usize; PARTS] {
        let (from, to) = self.rush;
        let mut parts = [0; PARTS];
        for at in lock(&self.delivered).iter() {
            let through = at.saturating_sub(from).as_secs_f64() / to.saturating_sub(from).as_secs_f64();
            parts[((through * PARTS as f64) as usize).min(PARTS - 1)] += 1;
        }
        parts
    }

    /// What the slowest health check takes beside a crowd that wants short reports, and what the slowest answer of the reference
    /// server takes, each in the best of some tries.
    async fn beside_short_reports(&self, api: &Api) -> anyhow::Result<(Duration, Duration)> {
        let mut quickest = (Duration::MAX, Duration::MAX);
        for _ in 0..TRIES {
            let served = AtomicBool::new(false);
            let crowd = async {
                // Whether they get one, others say.
                futures::future::join_all((0..self.crowd).map(|_| report_of(api, self.third))).await;
                served.store(true, Ordering::Relaxed);
            };
            let watch = async {
                let mut slowest = (Duration::ZERO, Duration::ZERO);
                while !served.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    api.ask(reqwest::Method::GET, "/health", None, None).await?.with_status(200)?;
                    slowest.0 = slowest.0.max(start.elapsed());
                    slowest.1 = slowest.1.max(api.reference("/").await?.1);
                }
                anyhow::Ok(slowest)
            };
            let ((), slowest) = tokio::join!(crowd, watch);
            let slowest = slowest?;
            quickest = (quickest.0.min(slowest.0), quickest.1.min(slowest.1));
        }
        Ok(quickest)
    }

    /// Has readers leave one after the other, each as the next in line, and asks for a report: nothing that was begun for
    /// them may be in its way for long.
    async fn after_a_crowd(&self, api: &Api, rendering: Duration) -> anyhow::Result<()> {
        let limit = rendering * RENDERINGS_AFTER_A_CROWD + WAY;
        let processors = processors() as u32;
        let crowd = CROWD * processors;
        let reader = |nth: u32| async move {
            // Three come in the time in which a processor renders one. Each stays for half of that, so that whoever is being
            // served leaves in the middle, and makes way for the next.
            tokio::time::sleep(rendering * nth / (3 * processors)).await;
            let patience = WAY + rendering / 2;
            // What it was answered until then is nobody's business any more.
            let _ = tokio::time::timeout(patience, report_of(api, self.user)).await;
        };
        futures::future::join_all((0..crowd).map(reader)).await;
        // Who comes next is served soon, and those who come next are not given what was made for one of them.
        let (served, other) = tokio::join!(self.soon(api, limit), report_of(api, self.third));
        served.with_context(|| format!("after {crowd} readers had left"))?;
        // Who is not alone may be refused.
        let own = other.map_or(true, |report| report == self.reports[&path(self.third)]);
        ensure!(own, "after {crowd} readers had left, somebody was given another report than their own");
        Ok(())
    }

    /// Asks for the report until it is not refused, and makes sure that it has not taken long since the first time.
    async fn soon(&self, api: &Api, limit: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        while start.elapsed() < RECOVERY {
            let reply = api.ask(reqwest::Method::GET, &path(self.user), None, None).await?;
            let took = start.elapsed();
            match reply.status.as_u16() {
                200 if took <= limit => return Ok(()),
                200 => anyhow::bail!("a report took {took:.1?}, and {limit:.1?} are allowed"),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        anyhow::bail!("no report was made within {} s", RECOVERY.as_secs())
    }

    /// An order, and a report that has to have it, unless it is refused: also if one that was asked for earlier is still
    /// being made.
    async fn ensure_news(&self, api: &Api) -> anyhow::Result<()> {
        let report = path(self.second.id);
        let report = || api.ask(reqwest::Method::GET, &report, None, None);
        let news = async {
            contract::buy(api, &self.second).await?;
            let orders = shop::orders(api, self.second.id).await?;
            anyhow::Ok((orders, report().await?))
        };
        let (_, news) = tokio::join!(report(), news);
        let (orders, reply) = news?;
        match reply.status.as_u16() {
            200 => contract::ensure_report_of(reply.body, &self.second, orders).await,
            // Those of the load say whether this may be.
            _ => Ok(()),
        }
    }

    /// Asks for the report alone until it comes as it was before the load, and says how quickly.
    async fn recover(&self, api: &Api, rendering: Duration) -> anyhow::Result<String> {
        let start = Instant::now();
        let mut last = anyhow::anyhow!("no report was asked for");
        while start.elapsed() < RECOVERY {
            match self.alone(api, rendering).await {
                Ok(quick) => {
                    return Ok(format!(
                        "the quickest of {ALONE} took {quick:.1?}, and its rendering {rendering:.1?}"
                    ));
                }
                Err(error) => last = error,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(last)
    }

    async fn alone(&self, api: &Api, rendering: Duration) -> anyhow::Result<Duration> {
        let mut quickest = Duration::MAX;
        for _ in 0..ALONE {
            let start = Instant::now();
            let report = tokio::time::timeout(RECOVERY, report_of(api, self.user)).await;
            let report =
                report.map_err(|_| anyhow::anyhow!("no report within {} s", RECOVERY.as_secs()))??;
            quickest = quickest.min(start.elapsed());
            ensure!(
                report == self.reports[&path(self.user)],
                "the report is another one than before the load"
            );
        }
        let limit = rendering * RENDERINGS + WAY;
        ensure!(
            quickest <= limit,
            "the quickest of {ALONE} took {quickest:.1?}, and {limit:.1?} are allowed"
        );
        Ok(quickest)
    }
}
