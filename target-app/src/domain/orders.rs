//! Orders of the shop.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::Cents;
use super::whole::whole;

/// What a buyer asks for.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cart {
    /// Who buys.
    #[garde(skip)]
    pub user_id: Uuid,
    /// What, one line a product: a product that is listed twice is refused.
    #[garde(length(min = 1, max = 100), dive, custom(no_product_twice))]
    #[schema(min_items = 1, max_items = 100)]
    pub items: Vec<CartItem>,
}

/// One line of a cart.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CartItem {
    /// Which product.
    #[garde(skip)]
    pub product_id: Uuid,
    /// How many pieces.
    #[serde(deserialize_with = "whole")]
    #[garde(range(min = 1, max = 1_000_000))]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub quantity: i32,
}

fn no_product_twice(items: &[CartItem], _: &()) -> garde::Result {
    let mut seen = std::collections::HashSet::new();
    match items.iter().find(|item| !seen.insert(item.product_id)) {
        Some(item) => Err(garde::Error::new(format!(
            "product {} is listed twice; add the quantities up",
            item.product_id
        ))),
        None => Ok(()),
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Sorts by the time of the order.
    pub id: Uuid,
    /// Who bought.
    pub user_id: Uuid,
    /// pending, paid, shipped or cancelled.
    pub status: String,
    /// What was agreed.
    pub total: Cents,
    /// When.
    pub created_at: DateTime<Utc>,
    /// What was bought.
    pub items: Vec<OrderItem>,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderItem {
    /// Which product.
    pub product_id: Uuid,
    /// Its name today.
    pub name: String,
    /// Pieces.
    pub quantity: i32,
    /// Price of a piece when the order was placed.
    #[sqlx(rename = "unit_price_cents")]
    pub unit_price: Cents,
}

/// A user's orders, newest first, with their items: two statements, however many there are.
pub async fn of_user(connection: &mut PgConnection, user_id: Uuid, limit: i64) -> sqlx::Result<Vec<Order>> {
    let rows: Vec<(Uuid, String, Cents, DateTime<Utc>)> = sqlx::query_as(
        "SELECT id, status, total_cents, created_at FROM orders
         WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2",
    )
    .bind(user_id)
    .bind(limit)
    .fetch_all(&mut *connection)
    .await?;

    let ids: Vec<Uuid> = rows.iter().map(|row| row.0).collect();
    let mut items = items_of(&mut *connection, &ids).await?;
    let orders = rows.into_iter().map(|(id, status, total, created_at)| Order {
        id,
        user_id,
        status,
        total,
        created_at,
        items: items.remove(&id).unwrap_or_default(),
    });
    Ok(orders.collect())
}

async fn items_of(
    executor: impl PgExecutor<'_>,
    orders: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, Vec<OrderItem>>> {
    #[derive(sqlx::FromRow)]
    struct Row {
        order_id: Uuid,
        #[sqlx(flatten)]
        item: OrderItem,
    }
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT i.order_id, i.product_id, p.name, i.quantity, i.unit_price_cents
         FROM order_items AS i JOIN products AS p ON p.id = i.product_id
         WHERE i.order_id = ANY($1) ORDER BY i.order_id, i.product_id",
    )
    .bind(orders)
    .fetch_all(executor)
    .await?;
    let mut items: HashMap<Uuid, Vec<OrderItem>> = HashMap::new();
    for row in rows {
        items.entry(row.order_id).or_default().push(row.item);
    }
    Ok(items)
}

/// Writes a pending order with its lines, in one statement, and returns it.
///
/// An unknown user breaks the constraint `orders_user_id_fkey`.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    user_id: Uuid,
    mut items: Vec<OrderItem>,
) -> sqlx::Result<Order> {
    // The order that a later read returns.
    items.sort_by_key(|item| item.product_id);
    let order = Order {
        id: Uuid::now_v7(),
        user_id,
        status: "pending".into(),
        total: items.iter().map(|item| item.unit_price.times(item.quantity)).sum(),
        // PostgreSQL keeps microseconds: the answer must not promise more than a later read returns.
        created_at: chrono::SubsecRound::trunc_subsecs(Utc::now(), 6),
        items,
    };
    sqlx::query(
        "WITH placed AS (
             INSERT INTO orders (id, user_id, status, total_cents, created_at) VALUES ($1, $2, $3, $4, $5)
         )
         INSERT INTO order_items (order_id, product_id, quantity, unit_price_cents)
         SELECT $1, * FROM UNNEST($6::uuid[], $7::integer[], $8::bigint[])",
    )
    .bind(order.id)
    .bind(order.user_id)
    .bind(&order.status)
    .bind(order.total)
    .bind(order.created_at)
    .bind(order.items.iter().map(|item| item.product_id).collect::<Vec<_>>())
    .bind(order.items.iter().map(|item| item.quantity).collect::<Vec<_>>())
    .bind(order.items.iter().map(|item| item.unit_price.0).collect::<Vec<_>>())
    .execute(executor)
    .await?;
    Ok(order)
}
