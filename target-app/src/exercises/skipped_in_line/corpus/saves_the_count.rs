use super::*;

/// The permits of a sale, as they are loaded and saved.
#[derive(sqlx::FromRow)]
struct Permits {
    stock: i64,
    held: i64,
    paid: i64,
}

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    let mut db = pool.begin().await?;
    let mut permits: Permits =
        sqlx::query_as("SELECT stock, held, paid FROM sale_permits WHERE sale_id = $1")
            .bind(sale)
            .fetch_one(&mut *db)
            .await?;
    if permits.held + permits.paid == permits.stock {
        return Ok(false);
    }
    // Whom another release has locked gets its piece, and the next one gets this.
    let next: Option<Uuid> = sqlx::query_scalar(
        "SELECT id FROM reservations WHERE sale_id = $1 AND status = 'waiting' ORDER BY ticket LIMIT 1 FOR UPDATE",
    )
    .bind(sale)
    .fetch_optional(&mut *db)
    .await?;
    let Some(next) = next else { return Ok(false) };

    permits.held += 1;
    save(&mut db, sale, &permits).await?;
    sales::hold(&mut *db, next).await?;
    sales::insert_job(&mut *db, next).await?;
    db.commit().await?;
    Ok(true)
}

async fn save(db: &mut PgConnection, sale: Uuid, permits: &Permits) -> sqlx::Result<()> {
    sqlx::query("UPDATE sale_permits SET stock = $2, held = $3, paid = $4 WHERE sale_id = $1")
        .bind(sale)
        .bind(permits.stock)
        .bind(permits.held)
        .bind(permits.paid)
        .execute(db)
        .await
        .map(drop)
}
