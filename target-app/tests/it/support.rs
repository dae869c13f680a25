//! A database and servers for tests: one private PostgreSQL for the whole program, a clone of the data for each test.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use scratch_postgres::{Database, Options, Postgres};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use simulated_providers::{Entry, Options as ProviderOptions, Providers};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use target_app::PROJECT;
use target_app::catalogue::{Exercise, Variant};
use target_app::seed::{Scale, template};
use target_app::server::Ready;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;
use uuid::Uuid;

pub const HEAVY_USER: &str = "heavy.user@example.com";

/// Says that a test cannot run here; fails instead where everything must run.
pub fn skip(name: &str, why: &str) {
    assert!(
        std::env::var("STAMPEDE_REQUIRE").as_deref() != Ok("all"),
        "{name} could not run, and STAMPEDE_REQUIRE=all: {why}"
    );
    #[expect(
        clippy::explicit_write,
        reason = "the test harness hides what `eprintln!` says in a test that passes"
    )]
    writeln!(std::io::stderr(), "SKIPPED {name}: {why}").unwrap();
}

/// A clone of the small data set.
pub async fn database() -> Database {
    static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
    let options = Options { database_url: None, ..Options::from_env(PROJECT) };
    let start =
        async || Postgres::obtain(&options, &template(Scale::Small, 42), &|_| ()).await.expect("PostgreSQL");
    POSTGRES.get_or_init(start).await.create_database().await.expect("a clone of the data")
}

/// Connections to it.
pub async fn pool(database: &Database) -> PgPool {
    let options = PgPoolOptions::new().max_connections(10);
    options.connect_with(database.connect_options()).await.expect("a connection")
}

/// A process of its own, as in production: what one process holds in memory protects nothing in another.
pub struct TestServer {
    child: Child,
    ready: Ready,
    client: Client,
}

impl TestServer {
    /// A server on this database, with these options.
    pub async fn start(database: &Database, options: &[&str]) -> Self {
        Self::start_with(database, options, |_| ()).await
    }

    /// The same, with more to say about its process.
    pub async fn start_with(
        database: &Database,
        options: &[&str],
        configure: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_target-app"));
        command.args(options);
        configure(&mut command);
        Self::launch(command, &database.url()).await
    }

    /// A server that may open no more files than this.
    pub async fn start_with_files(database: &Database, files: u32, options: &[&str]) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("ulimit -n {files}; exec \"$@\""), "sh"]);
        command.arg(env!("CARGO_BIN_EXE_target-app")).args(options);
        Self::launch(command, &database.url()).await
    }

    /// A server on the database at this URL, with these options.
    pub async fn start_at(url: &str, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_target-app"));
        command.args(options);
        Self::launch(command, url).await
    }

    async fn launch(mut command: Command, url: &str) -> Self {
        command
            .args(["--listen", "127.0.0.1:0", "--exit-with-parent"])
            .env("DATABASE_URL", url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("the server");
        let output = child.stdout.take().expect("its standard output");
        let line = BufReader::new(output).lines().next_line().await.expect("a line").expect("it is ready");
        TestServer {
            child,
            ready: serde_json::from_str(&line).expect("where it listens"),
            client: Client::builder().no_proxy().build().expect("a client"),
        }
    }

    /// A server on a database of its own that runs this variant of an exercise; the others are fixed.
    pub async fn of(exercise: &Exercise, variant: &Variant) -> Self {
        let option = format!("{}={}", exercise.id, variant.name);
        Self::start(&database().await, &["--variant", &option]).await
    }

    /// The SQL statements of a `GET` of `path`, which belongs to `route`.
    pub async fn statements(&self, route: &str, path: &str) -> f64 {
        let series = format!(r#"stampede_db_queries_per_request_sum{{http_route="{route}"}}"#);
        let before = self.metric(&series).await;
        self.json(path).await;
        self.metric(&series).await - before
    }

    /// Its process, to send signals to.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.ready.public))
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// A checkout by the heavy user: `(product, quantity)`.
    pub fn checkout(&self, user: &str, items: &[(&str, i64)]) -> RequestBuilder {
        let items: Vec<Value> = items
            .iter()
            .map(|(product, quantity)| json!({ "productId": product, "quantity": quantity }))
            .collect();
        self.post("/orders/checkout").json(&json!({ "userId": user, "items": items }))
    }

    /// A payment for one of the [`pending_orders`] with a card that everybody accepts.
    pub fn pay(&self, order: Uuid) -> RequestBuilder {
        self.post("/api/payments/process").json(&payment(order))
    }

    /// The JSON of a `GET` that must succeed.
    pub async fn json(&self, path: &str) -> Value {
        json(
            self.get(path).header("X-Tenant-ID", "tenant-1").send().await.expect("an answer"),
            StatusCode::OK,
        )
        .await
    }

    /// The id of the heavy user.
    pub async fn heavy_user(&self) -> String {
        text(&self.json(&format!("/users?email={HEAVY_USER}")).await[0]["id"])
    }

    /// The restaurants of the first tenant, busiest first.
    pub async fn restaurants(&self) -> Vec<String> {
        self.json("/restaurants")
            .await
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| text(&one["id"]))
            .collect()
    }

    /// The operator port's answer.
    pub async fn operator(&self, path: &str) -> Response {
        let url = format!("http://{}{path}", self.ready.operator);
        self.client.get(url).send().await.expect("an answer")
    }

    /// What the operator port exports.
    pub async fn metrics(&self) -> String {
        self.operator("/metrics").await.text().await.expect("text")
    }

    /// A sample of the metrics, 0 when there is none.
    pub async fn metric(&self, series: &str) -> f64 {
        let metrics = self.metrics().await;
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or(0.0)
    }
}

/// What each of the [`pending_orders`] costs.
pub const ORDER_TOTAL_CENTS: i64 = 1999;

/// So many orders that nobody has paid yet.
pub async fn pending_orders(pool: &PgPool, orders: usize) -> Vec<Uuid> {
    sqlx::query_scalar(
        "INSERT INTO orders (id, user_id, status, total_cents, created_at)
         SELECT gen_random_uuid(), (SELECT id FROM users ORDER BY id LIMIT 1), 'pending', $2, now()
         FROM generate_series(1, $1) RETURNING id",
    )
    .bind(orders as i64)
    .bind(ORDER_TOTAL_CENTS)
    .fetch_all(pool)
    .await
    .expect("orders")
}

/// The body of a request that pays one of them.
pub fn payment(order: Uuid) -> Value {
    let amount = ORDER_TOTAL_CENTS as f64 / 100.0;
    json!({ "orderId": order, "amount": amount, "paymentMethod": "card", "cardLast4": "4242" })
}

/// The outside services that a server calls, in this process.
pub struct Outside {
    providers: Providers,
    client: Client,
}

impl Outside {
    /// Those that answer everything at once.
    pub async fn start() -> Self {
        let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let secret = b"secret".to_vec();
        let options = ProviderOptions { listen: any_port, operator_listen: any_port, seed: 42, secret };
        let providers = Providers::start(&options).await.expect("outside services");
        Outside { providers, client: Client::builder().no_proxy().build().expect("a client") }
    }

    /// What a server's option `--providers` has to be.
    pub fn url(&self) -> String {
        format!("http://{}", self.providers.address)
    }

    async fn operate(&self, method: Method, path: &str, body: Value) -> Response {
        let url = format!("http://{}{path}", self.providers.operator);
        let answer = self.client.request(method, url).json(&body).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> T {
        self.operate(Method::GET, path, Value::Null).await.json().await.expect("JSON")
    }

    /// Holds the next so many requests of a service, `before-effect` or `after-effect`.
    pub async fn hold(&self, service: &str, at: &str, requests: usize) {
        let close = json!({ "at": at, "requests": requests });
        self.operate(Method::PUT, &format!("/{service}/gate"), close).await;
    }

    /// Waits until so many are held.
    pub async fn held(&self, service: &str, requests: usize) {
        let held: usize = self.read(&format!("/{service}/gate?requests={requests}")).await;
        assert!(held >= requests, "{held} requests of {service} are held, and not {requests}");
    }

    /// Lets go on what is held.
    pub async fn release(&self, service: &str) {
        self.operate(Method::POST, &format!("/{service}/gate/release"), json!({ "how": "continue" })).await;
    }

    /// Has a service behave like this from now on.
    pub async fn behave(&self, service: &str, profile: Value) {
        self.operate(Method::PUT, &format!("/{service}/profile"), profile).await;
    }

    /// Everything that a service has done.
    pub async fn ledger(&self, service: &str) -> Vec<Entry> {
        self.read(&format!("/{service}/ledger")).await
    }

    /// Every time that a card was charged.
    pub async fn charges(&self) -> Vec<Entry> {
        self.ledger("payments").await
    }
}

/// Fails when something that must come has not come for so long that it never will.
pub async fn soon<T>(what: &str, coming: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(Duration::from_secs(60), coming).await;
    came.unwrap_or_else(|_| panic!("never came: {what}"))
}

/// The JSON of an answer that must have this status.
pub async fn json(response: Response, status: StatusCode) -> Value {
    let seen = response.status();
    let body = response.text().await.expect("a body");
    assert_eq!(seen, status, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a string, not {value}")).into()
}
