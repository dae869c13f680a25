//! Users of the shop.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

/// A user.
#[derive(Debug, Clone, Serialize, sqlx::FromRow, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Stable id.
    pub id: Uuid,
    /// Unique address.
    pub email: String,
    /// Full name.
    pub name: String,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
}

/// The user with this id.
pub async fn find(executor: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<User>> {
    sqlx::query_as("SELECT id, email, name, created_at FROM users WHERE id = $1")
        .bind(id)
        .fetch_optional(executor)
        .await
}

/// Users by address, or the first hundred.
pub async fn list(executor: impl PgExecutor<'_>, email: Option<&str>) -> sqlx::Result<Vec<User>> {
    sqlx::query_as(
        "SELECT id, email, name, created_at FROM users
         WHERE $1::text IS NULL OR email = $1
         ORDER BY email LIMIT 100",
    )
    .bind(email)
    .fetch_all(executor)
    .await
}
