//! One goose attack: its users, its start and its end.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, Weak};
use std::time::{Duration, Instant};

use futures::future::{AbortHandle, abortable};
use goose::client::GooseClientBuilder;
use goose::config::{GooseConfiguration, GooseDefault, GooseDefaultType};
use goose::goose::{GooseRequest, GooseUser, Scenario, Transaction, TransactionResult};
use goose::metrics::GooseMetrics;
use goose::{GooseAttack, GooseError};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Url, redirect};
use target_app::telemetry::TRACEPARENT;
use tokio::sync::watch;

use super::cancel::Cancel;
use super::cpu::Cpu;
use super::fate::{End, Fate};
use super::measure::Load;
use super::metrics::{Live, Reading};
use super::pacer::Pacer;
use super::plan::{Mode, Plan};
use super::request::{Answer, Judge, Outcome, Request, Ticket};
use super::silence::Silence;
use super::trace::Traces;
use super::{lock, saturation};
use crate::api::{Unread, plain_http, read};

/// Between the moment when all users are there and the start of the load: time for them to take their first tickets.
const LEAD: Duration = Duration::from_millis(5);

/// How often it is looked whether a request has failed, when the schedule is over.
const LOOK: Duration = Duration::from_millis(50);

/// The longest answer that is read: many times what any route sends. A server that never ends must not fill the memory.
const LONGEST_BODY: usize = 4 << 20;

/// What became of a request whose client left, as it had planned to.
const HUNG_UP: Outcome = Outcome::Expected("hung-up");

/// What became of a request whose server was killed meanwhile.
const CUT_OFF: Outcome = Outcome::Expected("cut-off");

/// Why a load gave no result.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan cannot be driven.
    #[error("the plan of the load cannot be driven: {0}")]
    Plan(String),
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be built")]
    Client(#[source] reqwest::Error),
    /// goose refused or broke off the attack.
    #[error("goose could not run the attack")]
    Goose(#[source] Box<GooseError>),
    /// A user ended before the load did, and with it an unknown part of the schedule.
    #[error("{lost} of {users} users died during the load; run again with RUST_BACKTRACE=1 to see the panic")]
    LostUsers {
        /// Users who did not come to their end.
        lost: usize,
        /// Users who began.
        users: usize,
    },
    /// goose counted other requests than we did.
    #[error("goose counted {goose} requests named `{name}`, and the load {ours}: one of the two lost some")]
    Miscounted {
        /// Method and request name.
        name: String,
        /// goose's count.
        goose: u64,
        /// Our own.
        ours: u64,
    },
    /// It was cancelled.
    #[error("the load was interrupted")]
    Interrupted {
        /// What was measured until then. Tickets that were not due yet are in it as never sent.
        partial: Box<Load>,
    },
}

/// Drives one load to its end, and waits for it: about `plan.duration`, and `plan.drain` more at most.
///
/// goose keeps its state in the process, so loads run one after another: a second call waits for the first. goose also
/// owns Ctrl-C unless someone else took it first, so this takes it ([`Cancel::on_ctrl_c`]): a load ends at the first
/// Ctrl-C as it does when `cancel` is raised.
///
/// # Errors
/// [`LoadError`]: a plan that makes no sense, an interruption, or an attack whose counts cannot be trusted.
pub async fn drive(plan: Plan, judge: Judge, cancel: Cancel) -> Result<Load, LoadError> {
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _one_at_a_time = ONE_AT_A_TIME.lock().await;

    let interrupt = Cancel::on_ctrl_c();
    keep_goose_from_logging_to_stdout();
    let attack = Arc::new(Attack::new(plan, judge)?);
    if let Some(meter) = &attack.plan.meter {
        let weak: Weak<Attack> = Arc::downgrade(&attack);
        meter.follow(weak);
    }
    // Dropping this future must not leave users behind who load the server for ever.
    let _cut = CutOnDrop(attack.clone());

    let mut silence = Silence::begin();
    let goose = attack.goose()?.execute();
    tokio::pin!(goose);
    let mut t0 = attack.t0.subscribe();
    let early = tokio::select! {
        started = t0.wait_for(Option::is_some) => { drop(started); None }
        ended = &mut goose => Some(ended),
    };
    silence.end();
    let began = Instant::now();
    let cpu_before = Cpu::now(began);
    let metrics = match early {
        Some(ended) => ended,
        None => {
            let supervision = attack.supervise(&cancel, &interrupt);
            tokio::pin!(supervision);
            tokio::select! {
                ended = &mut goose => ended,
                () = &mut supervision => goose.await,
            }
        }
    }
    .map_err(|error| LoadError::Goose(Box::new(error)))?;

    let cpu = Cpu::now(began).zip(cpu_before).map(|(after, before)| after.since(before));
    let load = attack.result(&metrics, cpu)?;
    if cancel.is_raised() || interrupt.is_raised() {
        return Err(LoadError::Interrupted { partial: Box::new(load) });
    }
    Ok(load)
}

/// All that the users share.
struct Attack {
    plan: Plan,
    judge: Judge,
    client: Client,
    /// One for each ticket: parsing costs more than the rest of the generator's own work on a request.
    urls: Vec<Url>,
    traces: Traces,
    /// Number of the next request. Its ticket has the same index; a closed loop goes round the tickets.
    next: AtomicUsize,
    pacer: Arc<Pacer>,
    /// Users who have come so far.
    arrived: AtomicUsize,
    /// The start of the load; set by the last user to come.
    t0: watch::Sender<Option<Instant>>,
    /// One for each user.
    journals: Vec<Mutex<Journal>>,
    /// What scrapes have read of the journals; none when nobody can look, and after the end.
    reading: Mutex<Option<Reading>>,
}

impl std::fmt::Debug for Attack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attack").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// What one user did. Only that user writes it, until the load is over.
#[derive(Default)]
struct Journal {
    fates: Vec<Fate>,
    /// The ticket at hand.
    current: Option<Current>,
    /// Numbers of the requests that goose has counted as well.
    counted: Vec<usize>,
    cut: Option<AbortHandle>,
    finished: bool,
}

#[derive(Clone, Copy)]
struct Current {
    number: usize,
    at: Duration,
    taken: Duration,
    sent: Option<Duration>,
}

impl Current {
    fn end(self, end: End, done: Duration) -> Fate {
        Fate { number: self.number, at: self.at, taken: self.taken, sent: self.sent, done, end }
    }
}

impl Attack {
    fn new(mut plan: Plan, judge: Judge) -> Result<Self, LoadError> {
        plan.tickets.sort_by_key(|ticket| ticket.at);
        let urls = check(&plan).map_err(LoadError::Plan)?;
        // One pool for all users, as every browser of a household would not have: connections are not what is measured.
        let client = plain_http()
            .http1_only()
            .no_gzip()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(plan.users)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(LoadError::Client)?;
        let names = || plan.tickets.iter().map(|ticket| ticket.request.name);
        let reading = plan.meter.as_ref().map(|meter| meter.reading(plan.users, names()));
        Ok(Self {
            judge,
            client,
            urls,
            traces: Traces::new(plan.trace_seed),
            reading: Mutex::new(reading),
            next: AtomicUsize::new(0),
            pacer: Arc::new(Pacer::new(plan.tickets.len())),
            arrived: AtomicUsize::new(0),
            t0: plan.timeline.start.clone(),
            journals: (0..plan.users).map(|_| Mutex::default()).collect(),
            plan,
        })
    }

    /// The goose attack, ready to run.
    ///
    /// Its plan is to start all users at once and to stop them at once. goose looks for the end of a phase every half a
    /// second, but it *waits* for users who were told to stop, without polling; and a user who was told to stop still
    /// runs its `on_stop` transaction to the end. So the load is that transaction: it starts when goose has done all
    /// that it does at a start, and goose returns as soon as the last user has come to its end.
    fn goose(self: &Arc<Self>) -> Result<GooseAttack, LoadError> {
        let mut configuration = GooseConfiguration::default();
        configuration.host = Some(self.plan.targets[0].to_string());
        configuration.quiet = 1;
        configuration.no_telnet = true;
        configuration.no_print_metrics = true;
        configuration.no_transaction_metrics = true;
        configuration.no_scenario_metrics = true;
        configuration.no_status_codes = true;
        configuration.no_error_summary = true;
        let attack = self.clone();
        let load = Transaction::new(Arc::new(move |user| {
            let attack = attack.clone();
            Box::pin(async move { attack.user(user).await })
        }));
        let wait_to_be_stopped = Transaction::new(Arc::new(|_| {
            Box::pin(async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok(())
            })
        }));
        let goose = GooseAttack::initialize_with_config(configuration)
            // Else each user builds a client of its own, with its own TLS configuration, and throws it away. This one is not
            // used either, so it need not find the system's root certificates.
            .and_then(|goose| {
                let unused = GooseClientBuilder::new().accept_invalid_certs(true);
                goose.set_client_builder_without_cookies(unused.without_cookies())
            })
            .and_then(|goose| {
                goose.set_default(GooseDefault::TestPlan, format!("{},0s;0,0s", self.plan.users).as_str())
            })
            .map_err(|error| LoadError::Goose(Box::new(error)))?;
        Ok(goose.register_scenario(
            Scenario::new("load")
                .register_transaction(wait_to_be_stopped)
                .register_transaction(load.set_on_stop()),
        ))
    }

    /// One user's share of the load.
    async fn user(&self, user: &mut GooseUser) -> TransactionResult {
        user.client = self.client.clone();
        let number = self.arrived.fetch_add(1, Ordering::Relaxed);
        let journal = &self.journals[number];
        let (work, cut) = abortable(async {
            if number + 1 == self.plan.users {
                self.t0.send_replace(Some(Instant::now() + LEAD));
            }
            let mut t0 = self.t0.subscribe();
            let started =
                t0.wait_for(Option::is_some).await.expect("the sender is in `self`").expect("it is some");
            self.work(user, journal, started).await
        });
        lock(journal).cut = Some(cut);
        let worked = work.await;
        let mut journal = lock(journal);
        if worked.is_err() {
            let t0 = self.t0.borrow().expect("a cut comes after the start");
            let end = journal.current.take().map(|current| current.end(End::Cut, t0.elapsed()));
            journal.fates.extend(end);
        }
        journal.finished = true;
        Ok(())
    }

    /// Takes tickets until there are none.
    async fn work(&self, user: &mut GooseUser, journal: &Mutex<Journal>, t0: Instant) {
        if self.plan.mode == Mode::Closed {
            tokio::time::sleep_until(t0.into()).await;
        }
        while let Some(number) = self.take(t0) {
            let Ticket { at, request } = self.ticket(number);
            let taken = t0.elapsed();
            let mut current = Current { number, at: *at, taken, sent: None };
            if self.plan.mode == Mode::Open {
                lock(journal).current = Some(current);
            }
            // Built before the intended start, so that the work is not part of the lag.
            let built = self.build(number);
            match self.plan.mode {
                Mode::Open => self.pacer.due(number).await,
                Mode::Closed => {
                    current.at = t0.elapsed();
                    current.taken = current.at;
                }
            }
            current.sent = Some(if self.plan.mode == Mode::Closed { current.at } else { t0.elapsed() });
            lock(journal).current = Some(current);

            let request_to_goose =
                GooseRequest::builder().name(request.name).set_request_builder(built).build();
            let end = match user.request(request_to_goose).await {
                // goose sends nothing it cannot build.
                Err(_) => (End::Judged(Outcome::Failed("not-sent")), t0.elapsed()),
                Ok(answer) => {
                    lock(journal).counted.push(number);
                    self.receive(request, answer.response, t0, current.sent.unwrap_or_default()).await
                }
            };
            let end = match end {
                (End::TimedOut, done) if request.hang_up.is_some() => (End::Judged(HUNG_UP), done),
                end => end,
            };
            let mut journal = lock(journal);
            journal.current = None;
            journal.fates.push(current.end(end.0, end.1));
        }
    }

    fn take(&self, t0: Instant) -> Option<usize> {
        match self.plan.mode {
            Mode::Open => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                (number < self.plan.tickets.len()).then_some(number)
            }
            Mode::Closed if t0.elapsed() < self.plan.duration => {
                Some(self.next.fetch_add(1, Ordering::Relaxed))
            }
            Mode::Closed => None,
        }
    }

    fn ticket(&self, number: usize) -> &Ticket {
        &self.plan.tickets[number % self.plan.tickets.len()]
    }

    fn name(&self, number: usize) -> &'static str {
        self.ticket(number).request.name
    }

    fn build(&self, number: usize) -> RequestBuilder {
        let request = &self.ticket(number).request;
        let url = self.urls[number % self.urls.len()].clone();
        let timeout = request.hang_up.map_or(self.plan.timeout, |leaves| leaves.min(self.plan.timeout));
        let mut builder = (self.client.request(request.method.clone(), url).timeout(timeout))
            .header(TRACEPARENT, self.traces.of(number).header());
        if let Some(body) = &request.body {
            builder =
                builder.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body.clone());
        }
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        builder
    }

    /// Reads the whole answer and has it judged.
    async fn receive(
        &self,
        request: &Request,
        response: Result<reqwest::Response, reqwest::Error>,
        t0: Instant,
        sent: Duration,
    ) -> (End, Duration) {
        let mut response = match response {
            Ok(response) => response,
            Err(error) => {
                let done = t0.elapsed();
                return (self.broken(request.target, failure(&error), sent, done), done);
            }
        };
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let body = read(&mut response, LONGEST_BODY).await;
        let done = t0.elapsed();
        let end = match body {
            Err(Unread::Broken(error)) if error.is_timeout() => End::TimedOut,
            Err(Unread::Broken(_)) => {
                self.broken(request.target, End::Judged(Outcome::Failed("body")), sent, done)
            }
            Err(Unread::TooLong) => End::Judged(Outcome::Failed("body-too-long")),
            Ok(body) => {
                let answer = Answer { status, headers: &headers, body: &body, sent, done };
                // A panic would end goose's user and nobody would notice.
                let outcome = catch_unwind(AssertUnwindSafe(|| (self.judge)(request, &answer)));
                End::Judged(outcome.unwrap_or(Outcome::Failed("judge-panicked")))
            }
        };
        (end, done)
    }

    /// How a request ended whose connection broke: that of a server that was killed on purpose is no failure.
    fn broken(&self, target: usize, end: End, sent: Duration, done: Duration) -> End {
        match end {
            End::Judged(_) if self.plan.timeline.cut_off(target, sent, done) => End::Judged(CUT_OFF),
            end => end,
        }
    }

    /// Paces the tickets from the start of the load, and cuts what is left when the time is up or it is cancelled.
    async fn supervise(self: &Arc<Self>, cancel: &Cancel, interrupt: &Cancel) {
        let t0 = self.t0.borrow().expect("called after the start");
        if self.plan.mode == Mode::Open {
            let attack = self.clone();
            std::thread::Builder::new()
                .name("pacer".to_owned())
                .spawn(move || attack.pacer.run(t0, attack.plan.tickets.iter().map(|ticket| ticket.at)))
                .expect("a thread can be started");
        }
        let end = async {
            tokio::time::sleep_until((t0 + self.plan.duration + self.plan.drain / 3).into()).await;
            let end = t0 + self.plan.duration + self.plan.drain;
            while Instant::now() < end && !self.has_failures() {
                tokio::time::sleep_until(end.min(Instant::now() + LOOK).into()).await;
            }
        };
        tokio::select! {
            () = end => {}
            () = cancel.raised() => {}
            () = interrupt.raised() => {}
        }
        self.cut();
    }

    /// Whether a request has failed or timed out by now.
    fn has_failures(&self) -> bool {
        let failed = |fate: &Fate| matches!(fate.end, End::TimedOut | End::Judged(Outcome::Failed(_)));
        self.journals.iter().any(|journal| lock(journal).fates.iter().any(failed))
    }

    /// Ends the load: nobody takes or sends a ticket any more, and what is in flight is dropped.
    fn cut(&self) {
        self.pacer.stop();
        for journal in &self.journals {
            if let Some(cut) = &lock(journal).cut {
                cut.abort();
            }
        }
    }

    /// Accounts for every ticket, and compares with goose's counts.
    fn result(&self, metrics: &GooseMetrics, cpu: Option<Cpu>) -> Result<Load, LoadError> {
        let users = self.plan.users;
        let mut fates = Vec::with_capacity(self.plan.tickets.len());
        let mut counted: BTreeMap<String, u64> = BTreeMap::new();
        let mut finished = 0;
        for journal in &self.journals {
            let journal = lock(journal);
            finished += usize::from(journal.finished);
            fates.extend_from_slice(&journal.fates);
            for number in &journal.counted {
                let request = &self.ticket(*number).request;
                *counted.entry(format!("{} {}", request.method, request.name)).or_default() += 1;
            }
        }
        if finished < users {
            return Err(LoadError::LostUsers { lost: users - finished, users });
        }
        for name in metrics.requests.keys().chain(counted.keys()) {
            let goose = metrics.requests.get(name).map_or(0, |r| (r.success_count + r.fail_count) as u64);
            let ours = counted.get(name).copied().unwrap_or(0);
            if goose != ours {
                return Err(LoadError::Miscounted { name: name.clone(), goose, ours });
            }
        }
        self.read_to_the_end();
        if self.plan.mode == Mode::Open {
            fates.extend(self.never_taken());
            fates.sort_unstable_by_key(|fate| fate.number);
            assert!(
                fates.iter().map(|fate| fate.number).eq(0..self.plan.tickets.len()),
                "every ticket has exactly one fate"
            );
        }
        let Plan { mode, warm_up, duration, .. } = self.plan;
        let mut load = Load::new(
            mode,
            warm_up,
            duration,
            &fates,
            |number| self.name(number),
            |number| self.traces.of(number).trace_id,
        );
        for tickets in [&load.tickets, &load.warm_up] {
            let ended =
                tickets.ok + tickets.failed + tickets.timed_out + tickets.in_flight + tickets.never_sent;
            assert_eq!(tickets.scheduled, ended, "every ticket has exactly one fate");
        }
        load.cpu = cpu;
        load.incidents = self.plan.timeline.incidents();
        if mode == Mode::Open {
            load.saturation = saturation::assess(&fates, warm_up, users, &load.timer_lag, cpu);
        }
        if let Some(meter) = &self.plan.meter {
            meter.saturated(load.saturation.is_some());
        }
        Ok(load)
    }

    /// Has the metrics count what is new in the journals, and what has become due.
    fn read(&self, reading: &mut Reading) {
        let mut in_flight: BTreeMap<&'static str, i64> = BTreeMap::new();
        for (user, journal) in self.journals.iter().enumerate() {
            // Copied, so that the user does not wait while it is counted.
            let (ended, current) = {
                let journal = lock(journal);
                (journal.fates[reading.entries[user]..].to_vec(), journal.current)
            };
            reading.entries[user] += ended.len();
            for fate in &ended {
                reading.ended(self.name(fate.number), fate);
            }
            if let Some(Current { number, sent: Some(_), .. }) = current {
                *in_flight.entry(self.name(number)).or_default() += 1;
            }
        }
        reading.in_flight(&in_flight);
        // Last, so that no more requests have ended than were intended.
        let due = match (self.plan.mode, *self.t0.borrow()) {
            (_, None) => 0,
            (Mode::Open, Some(t0)) => {
                let now = t0.elapsed();
                self.plan.tickets.partition_point(|ticket| ticket.at <= now)
            }
            (Mode::Closed, Some(_)) => self.next.load(Ordering::Relaxed),
        };
        for number in reading.intended..due {
            reading.due(self.name(number));
        }
    }

    /// The last reading, with the tickets that nobody came to take.
    fn read_to_the_end(&self) {
        let Some(mut reading) = lock(&self.reading).take() else { return };
        self.read(&mut reading);
        if self.plan.mode == Mode::Open {
            for fate in self.never_taken() {
                reading.ended(self.name(fate.number), &fate);
            }
        }
    }

    /// The tickets that nobody came to take, given up now. Of an open load.
    fn never_taken(&self) -> impl Iterator<Item = Fate> {
        let now = self.t0.borrow().map(|t0| t0.elapsed()).unwrap_or_default();
        let taken = self.next.load(Ordering::Relaxed).min(self.plan.tickets.len());
        (taken..self.plan.tickets.len()).map(move |number| {
            let at = self.plan.tickets[number].at;
            Fate { number, at, taken: at.max(now), sent: None, done: at.max(now), end: End::Cut }
        })
    }
}

/// Cuts a load whose driver is no longer there.
struct CutOnDrop(Arc<Attack>);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cut();
    }
}

impl Live for Attack {
    fn read_journals(&self) {
        if let Some(reading) = lock(&self.reading).as_mut() {
            self.read(reading);
        }
    }
}

/// The URLs of the tickets, in their order, or why the plan cannot be driven.
fn check(plan: &Plan) -> Result<Vec<Url>, String> {
    if plan.users == 0 {
        return Err("it has no users; one request in flight needs one".to_owned());
    }
    if plan.tickets.is_empty() {
        return Err("it has no tickets; raise the rate or the duration".to_owned());
    }
    if plan.warm_up >= plan.duration {
        return Err(format!(
            "its warm-up of {:?} leaves nothing of its {:?}; shorten the warm-up",
            plan.warm_up, plan.duration
        ));
    }
    let url = |Ticket { at, request }: &Ticket| {
        if *at >= plan.duration {
            return Err(format!(
                "`{}` is due at {at:?}, and the load lasts {:?}",
                request.name, plan.duration
            ));
        }
        let Some(target) = plan.targets.get(request.target) else {
            return Err(format!(
                "`{}` goes to target {}, and there are {}",
                request.name,
                request.target,
                plan.targets.len()
            ));
        };
        target
            .join(&request.path)
            .map_err(|error| format!("`{}` asks for the path `{}`: {error}", request.name, request.path))
    };
    plan.tickets.iter().map(url).collect()
}

/// The outcome of a request that was not answered, in one of a few words.
fn failure(error: &reqwest::Error) -> End {
    use std::io::ErrorKind;
    if error.is_timeout() {
        return End::TimedOut;
    }
    let mut source = error.source();
    let mut kind = None;
    while let Some(cause) = source {
        kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind).or(kind);
        source = cause.source();
    }
    End::Judged(Outcome::Failed(match kind {
        Some(ErrorKind::ConnectionRefused) => "connection-refused",
        Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => "connection-reset",
        _ if error.is_connect() => "connect",
        _ => "connection-closed",
    }))
}

/// goose installs a logger, unless there is one, that writes a warning to stdout for each connection that breaks. The
/// same facts are in the outcomes.
fn keep_goose_from_logging_to_stdout() {
    struct Nowhere;
    impl log::Log for Nowhere {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            false
        }
        fn log(&self, _: &log::Record<'_>) {}
        fn flush(&self) {}
    }
    static NOWHERE: Nowhere = Nowhere;
    static ONCE: Once = Once::new();
    // An error means that the program has installed its own, which is as good.
    ONCE.call_once(|| drop(log::set_logger(&NOWHERE)));
}
