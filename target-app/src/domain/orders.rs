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
    /// Stable id; of orders made here, it sorts by their time.
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

/// A part of a user's orders, newest first: what comes after a place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrderPage {
    /// The time and id of the order before the first one of the page.
    pub after: (DateTime<Utc>, Uuid),
    /// Orders at most.
    pub limit: i64,
}

impl OrderPage {
    /// The first page.
    pub fn newest(limit: i64) -> Self {
        OrderPage { after: (DateTime::<Utc>::MAX_UTC, Uuid::max()), limit }
    }

    /// The page after one of the user's orders; none if the user has no such order.
    pub async fn after(
        executor: impl PgExecutor<'_>,
        user_id: Uuid,
        order_id: Uuid,
        limit: i64,
    ) -> sqlx::Result<Option<Self>> {
        let after = sqlx::query_as("SELECT created_at, id FROM orders WHERE id = $1 AND user_id = $2")
            .bind(order_id)
            .bind(user_id)
            .fetch_optional(executor)
            .await?;
        Ok(after.map(|after| OrderPage { after, limit }))
    }
}

/// A page of a user's orders, newest first, without their items. It costs the same wherever it is in the list: the index
/// begins where the page does.
pub async fn without_items(
    executor: impl PgExecutor<'_>,
    user_id: Uuid,
    page: OrderPage,
) -> sqlx::Result<Vec<Order>> {
    let rows: Vec<(Uuid, String, Cents, DateTime<Utc>)> = sqlx::query_as(
        "SELECT id, status, total_cents, created_at FROM orders
         WHERE user_id = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4",
    )
    .bind(user_id)
    .bind(page.after.0)
    .bind(page.after.1)
    .bind(page.limit)
    .fetch_all(executor)
    .await?;
    let orders = rows.into_iter().map(|(id, status, total, created_at)| Order {
        id,
        user_id,
        status,
        total,
        created_at,
        items: Vec::new(),
    });
    Ok(orders.collect())
}

/// A user's newest orders with their items: two statements, however many there are.
pub async fn newest(connection: &mut PgConnection, user_id: Uuid, limit: i64) -> sqlx::Result<Vec<Order>> {
    let mut orders = without_items(&mut *connection, user_id, OrderPage::newest(limit)).await?;
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    let mut items = items_of(&mut *connection, &ids).await?;
    for order in &mut orders {
        order.items = items.remove(&order.id).unwrap_or_default();
    }
    Ok(orders)
}

/// The items of some orders, by the order's id: one statement.
pub async fn items_of(
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
