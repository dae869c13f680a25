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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, ToSchema)]
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

pub(super) fn no_product_twice(items: &[CartItem], _: &()) -> garde::Result {
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, sqlx::FromRow, ToSchema)]
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

/// The order with this id and its items.
pub async fn find(db: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Order>> {
    let row: Option<(Uuid, String, Cents, DateTime<Utc>)> =
        sqlx::query_as("SELECT user_id, status, total_cents, created_at FROM orders WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *db)
            .await?;
    let Some((user_id, status, total, created_at)) = row else { return Ok(None) };
    let items = items_of(db, &[id]).await?.remove(&id).unwrap_or_default();
    Ok(Some(Order { id, user_id, status, total, created_at, items }))
}

/// Marks a pending order as paid. Of any other order nothing changes.
pub async fn mark_paid(executor: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query("UPDATE orders SET status = 'paid' WHERE id = $1 AND status = 'pending'")
        .bind(id)
        .execute(executor)
        .await?;
    Ok(())
}

/// Cancels a pending order and puts its pieces back into stock, in one statement. Of any other order nothing changes.
pub async fn cancel(executor: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "WITH cancelled AS (
             UPDATE orders SET status = 'cancelled' WHERE id = $1 AND status = 'pending' RETURNING id
         ), pieces AS (
             SELECT p.id, i.quantity FROM cancelled AS c
             JOIN order_items AS i ON i.order_id = c.id JOIN products AS p ON p.id = i.product_id
             -- As every checkout does it, so that no two wait for each other.
             ORDER BY p.id FOR NO KEY UPDATE OF p
         )
         UPDATE products AS p SET stock = p.stock + pieces.quantity FROM pieces WHERE p.id = pieces.id",
    )
    .bind(id)
    .execute(executor)
    .await?;
    Ok(())
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
