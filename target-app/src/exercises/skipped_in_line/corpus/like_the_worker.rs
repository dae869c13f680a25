use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    // There is a statement that does it, so it need not be written again. Of two releases one may give out both pieces.
    Ok(sales::promote(pool, sale, 500).await? > 0)
}
