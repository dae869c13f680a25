use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, Once};
use std::thread::ThreadId;

use chrono::DateTime;
use target_app::domain::money::Cents;
use target_app::domain::orders::{Order, OrderItem};
use target_app::domain::report::OrderHistory;
use target_app::domain::users::User;
use target_app::exercises::frozen_health::{RenderError, Variant, render};
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

/// Renders as a client would that takes a refusal for what it is: the slots are the process's, and one of these tests
/// fills them on purpose.
async fn rendered(variant: Variant, history: &OrderHistory) -> Vec<u8> {
    loop {
        match render(variant, history.clone()).await {
            Err(RenderError::Busy { .. }) => continue,
            answer => return answer.unwrap(),
        }
    }
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

#[tokio::test]
async fn a_user_without_orders_gets_a_report_without_pages() {
    let report = rendered(Variant::Fixed, &history(0)).await;
    assert!(String::from_utf8_lossy(&report).contains("/Count 0"));
}

/// The thread that rendered each order's page.
static RENDERED_ON: LazyLock<Mutex<HashMap<String, ThreadId>>> = LazyLock::new(Mutex::default);

struct WhereRendered;

impl<S: tracing::Subscriber> Layer<S> for WhereRendered {
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
        RENDERED_ON.lock().unwrap().insert(order.0, std::thread::current().id());
    }
}

/// Of the pages of a report, how many were rendered on the thread that also has to answer health checks.
async fn pages_on_the_async_worker(variant: Variant) -> (usize, usize) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(WhereRendered)).unwrap();
    });
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

#[tokio::test]
async fn the_fix_refuses_what_would_only_wait() {
    // Far more work than fits into the patience of the last in line, on a machine of any size.
    let reports = 30 * std::thread::available_parallelism().map_or(2, usize::from);
    let answers = futures::future::join_all((0..reports).map(|_| render(Variant::Fixed, history(60)))).await;
    let refused = answers.iter().filter(|answer| matches!(answer, Err(RenderError::Busy { .. }))).count();
    let delivered = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(refused + delivered, reports);
    assert!(delivered > 0 && refused > 0, "{delivered} delivered, {refused} refused");
}
