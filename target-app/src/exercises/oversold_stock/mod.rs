//! Exercise `oversold-stock`: `POST /orders/checkout` takes a cart's products out of stock and writes the order.

use std::time::Duration;

use sqlx::{PgConnection, PgPool, Postgres};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::catalogue::{Alert, CheckSpec, Exercise, KEEPS_CONTRACT, Series, Severity, Signal};
use crate::domain::orders::{self, Cart, CartItem, Order, OrderItem};
use crate::domain::products::Product;
use crate::error::{ApiError, on_constraint};
use crate::telemetry::MetricSpec;

/// What the catalogue says of this exercise.
pub static EXERCISE: Exercise = Exercise {
    id: "oversold-stock",
    title: "Oversold stock",
    symptom: "Buyers get an order for products that were already sold out.",
    cause: "The stock is read, compared in the service and written back; two checkouts that read the same number both \
            sell the same piece.",
    routes: &["POST /orders/checkout"],
    headline: "checkout",
    variants: Variant::ENTRIES,
    corpus: Variant::CORPUS,
    checks: &[
        KEEPS_CONTRACT,
        CheckSpec::invariant("sold-within-stock", "No more pieces are sold than were in stock."),
        CheckSpec::invariant(
            "stock-adds-up",
            "For every product, stock before − pieces in orders = stock after, and the stock is never negative.",
        ),
        CheckSpec::invariant(
            "orders-recorded",
            "Every confirmed order matches its cart and can be read back at once, field by field; there are no other orders.",
        ),
        CheckSpec::invariant("sells-out", "Nobody is refused while there is stock for the whole cart."),
        CheckSpec::objective(
            "only-clean-refusals",
            "Every checkout ends with an order for the whole cart or with 409, never with an error, a timeout or no response.",
        ),
        CheckSpec::objective(
            "catalogue-p99",
            "During the rush, 99 of 100 catalogue pages are answered within 100 ms.",
        ),
        CheckSpec::objective(
            "recovers",
            "After the rush, every product can be bought as before, or is short.",
        ),
    ],
    signals: &[
        Signal {
            title: "Pieces oversold",
            description: "Pieces that were sold beyond the stock, over all servers of a variant. One is one too many.",
            promql: "max by (variant) (stampede_oversold_units{$scope})",
            unit: "short",
            limit: Some(0.0),
        },
        Signal {
            title: "Pieces sold per second",
            description: "Pieces in confirmed orders. It drops to nothing when the stock is gone, and also when the sale stands still.",
            promql: "sum by (variant) (rate(stampede_units_sold_total{$scope}[$window]))",
            unit: "cps",
            limit: None,
        },
        Signal {
            title: "Requests waiting for a connection",
            description: "Requests that wait at a time, on average over the last 2 s. A wait is counted when it ends.",
            promql: "sum by (variant) (db_client_connection_pending_requests{$scope})",
            unit: "short",
            limit: None,
        },
    ],
    alert: Alert {
        name: "StampedeOversoldStock",
        promql: "max by (variant) (stampede_oversold_units{$scope})",
        unit: "short",
        above: 0.0,
        hold: Duration::ZERO,
        severity: Severity::Critical,
        summary: "More pieces were sold than there were",
        description: "Customers of variant {{ $labels.variant }} hold confirmed orders for products that cannot be delivered. \
                      Stop the sale of the product, then count confirmed orders against stock.",
        fires_on: &[Series::One(r#"stampede_oversold_units{$scope, variant="buggy"}"#, "0x8 1 3x20")],
        silent_on: &[Series::One(r#"stampede_oversold_units{$scope, variant="fixed"}"#, "0x30")],
    },
    metrics: &[&UNITS_SOLD, &OVERSOLD_UNITS],
    data_gauge: Some(data_gauge::start),
};

/// Pieces in the orders that this server confirmed.
pub static UNITS_SOLD: MetricSpec =
    MetricSpec::counter("stampede_units_sold_total", &[], "pieces", "Pieces in orders that were confirmed");

/// Pieces that could not be delivered.
pub static OVERSOLD_UNITS: MetricSpec = MetricSpec::gauge(
    "stampede_oversold_units",
    &[],
    "pieces",
    "Pieces in the orders of all servers on this database beyond the stock when this server started",
);

mod buggy;
#[cfg(feature = "corpus")]
mod corpus;
mod data_gauge;
mod fixed;
mod process_lock;
mod row_lock;
mod transaction;

variants! {
    Buggy       "buggy"        buggy        Buggy    "Reads the stock, compares it, writes back what is left." ["sold-within-stock"]
    Transaction "transaction"  transaction  Tempting "The same statements in one transaction: all or nothing." ["sold-within-stock"]
    ProcessLock "process-lock" process_lock Tempting "One checkout at a time, behind a mutex." ["sold-within-stock"]
    RowLock     "row-lock"     row_lock     Tempting "Locks each product's row with FOR UPDATE while it is in the cart." ["only-clean-refusals"]
    Fixed       "fixed"        fixed        Fixed    "The database takes the stock only if it is there, products in one order." []
}

/// The checkout as a server runs it.
#[derive(Debug)]
pub struct Service {
    variant: Variant,
    /// Held by the one checkout that may touch the stock, where only one may.
    turn: Mutex<()>,
}

impl Service {
    /// In this variant.
    pub fn new(variant: Variant) -> Self {
        Service { variant, turn: Mutex::default() }
    }

    /// Takes the cart's products out of stock and writes the order.
    pub async fn place_order(&self, pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
        match self.variant {
            Variant::Buggy => buggy::place_order(pool, cart).await,
            Variant::Transaction => transaction::place_order(pool, cart).await,
            Variant::ProcessLock => process_lock::place_order(&self.turn, pool, cart).await,
            Variant::RowLock => row_lock::place_order(pool, cart).await,
            Variant::Fixed => fixed::place_order(pool, cart).await,
            #[cfg(feature = "corpus")]
            Variant::Corpus(solution) => corpus::place_order(solution, pool, cart).await,
        }
    }
}

/// The fixed variant, for checkouts that do more in one transaction: in somebody's transaction it is a part of that one. The other variants
/// get a pool, so that a solution may use as many connections and transactions as it likes.
pub async fn place_order(db: impl PoolOrTransaction<'_>, cart: &Cart) -> Result<Order, CheckoutError> {
    fixed::place_order(db, cart).await
}

/// Where a transaction can begin: the pool, or a connection that is in one.
pub trait PoolOrTransaction<'c>: sqlx::Acquire<'c, Database = Postgres> {}

impl<'c, T: sqlx::Acquire<'c, Database = Postgres>> PoolOrTransaction<'c> for T {}

/// Why an order was not placed.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The shop does not sell it.
    #[error("there is no product {0}")]
    UnknownProduct(Uuid),
    /// Fewer pieces are left than the cart asks for.
    #[error("fewer than {wanted} pieces of product {product} are in stock")]
    ShortStock {
        /// The product.
        product: Uuid,
        /// Pieces in the cart.
        wanted: i32,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<CheckoutError> for ApiError {
    fn from(error: CheckoutError) -> Self {
        match error {
            CheckoutError::ShortStock { .. } => ApiError::Conflict(error.to_string()),
            CheckoutError::UnknownProduct(_) => ApiError::Invalid(error.to_string()),
            CheckoutError::Database(error) => {
                on_constraint("orders_user_id_fkey", || ApiError::Invalid("there is no such user".into()))(
                    error,
                )
            }
        }
    }
}

fn short_stock(item: &CartItem) -> CheckoutError {
    CheckoutError::ShortStock { product: item.product_id, wanted: item.quantity }
}

/// The order line for a cart's line, at today's price.
fn line(product: &Product, item: &CartItem) -> OrderItem {
    OrderItem {
        product_id: product.id,
        name: product.name.clone(),
        quantity: item.quantity,
        unit_price: product.price,
    }
}

async fn set_stock(connection: &mut PgConnection, product: Uuid, stock: i32) -> sqlx::Result<()> {
    sqlx::query("UPDATE products SET stock = $2 WHERE id = $1")
        .bind(product)
        .bind(stock)
        .execute(connection)
        .await?;
    Ok(())
}
