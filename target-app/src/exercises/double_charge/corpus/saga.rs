use std::sync::LazyLock;

use sqlx::types::Json;
use uuid::Uuid;

use super::*;

static TABLE: LazyLock<OnceCell<()>> = LazyLock::new(OnceCell::new);

/// As long as a charge may take, and a little more.
const LEASE: f64 = 1.5;

/// How far a checkout has come. Each step is written down before the next one begins, and each may be done twice.
#[derive(sqlx::FromRow)]
struct Saga {
    request: Json<Checkout>,
    placed: Json<Order>,
    state: String,
}

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    TABLE.get_or_try_init(|| create(shop.pool)).await?;
    let mut db = shop.pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 7))").bind(key).execute(&mut *db).await?;
    let saga: Option<Saga> = sqlx::query_as("SELECT request, placed, state FROM sagas WHERE key = $1")
        .bind(key)
        .fetch_optional(&mut *db)
        .await?;
    let saga = match saga {
        Some(saga) => saga,
        None => {
            let order = oversold_stock::place_order(&mut *db, &checkout.cart()).await?;
            let saga = Saga { request: Json(checkout.clone()), placed: Json(order), state: "placed".into() };
            sqlx::query("INSERT INTO sagas (key, request, placed, state) VALUES ($1, $2, $3, 'placed')")
                .bind(key)
                .bind(&saga.request)
                .bind(&saga.placed)
                .execute(&mut *db)
                .await?;
            saga
        }
    };
    if saga.request.0 != *checkout {
        return Err(KeyedError::OtherCheckout);
    }
    let mut state = saga.state;
    if state == "placed" {
        let worker = Uuid::now_v7();
        let taken = sqlx::query(
            "UPDATE sagas SET worker = $2, since = clock_timestamp() WHERE key = $1
             AND (worker IS NULL OR since < clock_timestamp() - $3 * interval '1 second')",
        )
        .bind(key)
        .bind(worker)
        .bind(LEASE)
        .execute(&mut *db)
        .await?;
        if taken.rows_affected() == 0 {
            return Err(KeyedError::UnderWay);
        }
        db.commit().await?;
        let charged = shop.charge(&saga.placed.0, checkout).await;
        if charged.is_err() {
            sqlx::query("UPDATE sagas SET worker = NULL WHERE key = $1 AND worker = $2")
                .bind(key)
                .bind(worker)
                .execute(shop.pool)
                .await?;
        }
        state = if charged? { "charged" } else { "declined" }.into();
        // A second worker was told the same by the provider.
        sqlx::query("UPDATE sagas SET state = $2 WHERE key = $1 AND state = 'placed'")
            .bind(key)
            .bind(&state)
            .execute(shop.pool)
            .await?;
        db = shop.pool.begin().await?;
    }
    // Settling again changes nothing.
    let answer = settle(&mut db, saga.placed.0, state == "charged").await?;
    db.commit().await?;
    Ok(answer)
}

async fn create(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::raw_sql(
        "SELECT pg_advisory_xact_lock(7);
         CREATE TABLE IF NOT EXISTS sagas (
             key TEXT PRIMARY KEY, request JSONB NOT NULL, placed JSONB NOT NULL, state TEXT NOT NULL,
             worker UUID, since TIMESTAMPTZ
         )",
    )
    .execute(pool)
    .await?;
    Ok(())
}
