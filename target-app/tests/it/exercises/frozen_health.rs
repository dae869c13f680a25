use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, Once, mpsc};
use std::thread::ThreadId;
use std::time::Duration;

use chrono::DateTime;
use target_app::domain::money::Cents;
use target_app::domain::orders::{Order, OrderItem};
use target_app::domain::report::OrderHistory;
use target_app::domain::users::User;
use target_app::exercises::frozen_health::{RenderError, Service, Variant};
use tokio::sync::oneshot;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use uuid::Uuid;

/// A user's orders that no other test has.
fn history(orders: usize) -> OrderHistory {
    let created_at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let user =
        User { id: Uuid::now_v7(), email: "a@example.com".into(), name: "Zoë Łuk".into(), created_at };
    let item = |n: usize| OrderItem {
        product_id: Uuid::now_v7(),
        name: format!("Product {n}"),
        quantity: n as i32,
        unit_price: Cents(1999),
    };
    let order = |_| Order {
        id: Uuid::now_v7(),
        user_id: user.id,
        status: "paid".into(),
        total: Cents(5997),
        created_at,
        items: (1..=3).map(item).collect(),
    };
    OrderHistory { orders: (0..orders).map(order).collect(), user }
}

async fn rendered(variant: Variant, history: &OrderHistory) -> Vec<u8> {
    Service::new(variant).render(history.clone()).await.unwrap()
}

#[tokio::test]
async fn all_variants_render_the_same_bytes() {
    let history = history(12);
    let mut reports = Vec::new();
    for variant in Variant::ALL.iter().copied() {
        reports.push(rendered(variant, &history).await);
    }
    assert!(reports.windows(2).all(|pair| pair[0] == pair[1]));
    let report = &reports[0];
    assert!(report.starts_with(b"%PDF-1.") && report.trim_ascii_end().ends_with(b"%%EOF"));
    assert!(String::from_utf8_lossy(report).contains("/Count 12"));
}

/// The thread that rendered each order's page.
static RENDERED_ON: LazyLock<Mutex<HashMap<String, ThreadId>>> = LazyLock::new(Mutex::default);

/// Orders whose page is not done until somebody says so.
static HELD: LazyLock<Mutex<HashMap<String, Hold>>> = LazyLock::new(Mutex::default);

/// The other end of a [`Held`].
struct Hold {
    reached: oneshot::Sender<()>,
    released: mpsc::Receiver<()>,
}

struct WatchRendering;

impl WatchRendering {
    fn install() {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            let subscriber = tracing_subscriber::registry().with(WatchRendering);
            tracing::subscriber::set_global_default(subscriber).unwrap();
        });
    }
}

impl<S: tracing::Subscriber> Layer<S> for WatchRendering {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == "stampede::report"
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Order(String);
        impl Visit for Order {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                if field.name() == "order" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut order = Order(String::new());
        event.record(&mut order);
        let held = HELD.lock().unwrap().remove(&order.0);
        if let Some(Hold { reached, released }) = held {
            reached.send(()).unwrap();
            // Ends with an error when the sender is dropped, also by a test that fails.
            let _ = released.recv();
        }
        RENDERED_ON.lock().unwrap().insert(order.0, std::thread::current().id());
    }
}

/// Of the pages of a report, how many were rendered on the thread that also has to answer health checks.
async fn pages_on_the_async_worker(variant: Variant) -> (usize, usize) {
    WatchRendering::install();
    let history = history(20);
    rendered(variant, &history).await;
    // A test's runtime has one thread: this one.
    let worker = std::thread::current().id();
    let rendered = RENDERED_ON.lock().unwrap();
    let threads: Vec<_> =
        history.orders.iter().filter_map(|order| rendered.get(&order.id.to_string())).collect();
    (threads.iter().filter(|thread| ***thread == worker).count(), threads.len())
}

#[tokio::test]
async fn only_the_fix_keeps_rendering_off_the_async_workers() {
    for variant in Variant::ALL.iter().copied() {
        let expected = if variant == Variant::Fixed { 0 } else { 20 };
        assert_eq!(pages_on_the_async_worker(variant).await, (expected, 20), "{variant:?}");
    }
}

/// A report that keeps its slot until this is dropped.
struct Held {
    reached: oneshot::Receiver<()>,
    release: mpsc::Sender<()>,
}

fn hold(history: &OrderHistory) -> Held {
    WatchRendering::install();
    let (reached, told) = oneshot::channel();
    let (release, released) = mpsc::channel();
    HELD.lock().unwrap().insert(history.orders[0].id.to_string(), Hold { reached, released });
    Held { reached: told, release }
}

#[tokio::test]
async fn the_fix_refuses_what_would_only_wait() {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let service = Service::new(Variant::Fixed);
    let mut rendering = Vec::new();
    loop {
        let history = history(1);
        let Held { reached, release } = hold(&history);
        let mut report = Box::pin(service.render(history));
        tokio::select! {
            Ok(()) = reached => rendering.push((report, release)),
            answer = &mut report => match answer {
                Err(RenderError::Busy { .. }) => break,
                answer => panic!("answered without a page: {answer:?}"),
            },
            // Many times the patience of the fix: only code that refuses nobody gets here.
            () = tokio::time::sleep(Duration::from_secs(60)) => panic!("neither rendered nor refused"),
        }
        assert!(rendering.len() <= processors, "more reports are rendered than there are processors");
    }
    assert!(!rendering.is_empty(), "refused without a report that is being made");
    for (report, release) in rendering {
        drop(release);
        report.await.unwrap();
    }
}
