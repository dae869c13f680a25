//! Products of the shop.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::Cents;
use super::pages::Page;

/// A product.
#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    /// Stable id.
    pub id: Uuid,
    /// Shown to the buyer.
    pub name: String,
    /// One product in five has none.
    pub description: Option<String>,
    /// Price of one piece.
    #[sqlx(rename = "price_cents")]
    pub price: Cents,
    /// Pieces in stock.
    #[sqlx(rename = "stock")]
    pub inventory: i32,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// One page of all products, oldest first, and how many there are.
pub async fn list(executor: impl PgExecutor<'_> + Copy, page: Page) -> sqlx::Result<(Vec<Product>, i64)> {
    let products = sqlx::query_as(
        "SELECT id, name, description, price_cents, stock, created_at FROM products
         ORDER BY created_at, id LIMIT $1 OFFSET $2",
    )
    .bind(page.limit)
    .bind(page.offset())
    .fetch_all(executor)
    .await?;
    let total = sqlx::query_scalar("SELECT count(*) FROM products").fetch_one(executor).await?;
    Ok((products, total))
}

/// The product with this id.
pub async fn find(executor: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<Product>> {
    sqlx::query_as("SELECT id, name, description, price_cents, stock, created_at FROM products WHERE id = $1")
        .bind(id)
        .fetch_optional(executor)
        .await
}

/// Products with at most `threshold` pieces left, scarcest first.
pub async fn low_stock(executor: impl PgExecutor<'_>, threshold: i32) -> sqlx::Result<Vec<Product>> {
    sqlx::query_as(
        "SELECT id, name, description, price_cents, stock, created_at FROM products
         WHERE stock <= $1 ORDER BY stock, id LIMIT 100",
    )
    .bind(threshold)
    .fetch_all(executor)
    .await
}
