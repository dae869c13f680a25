use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    // Whoever cancels need not wait for it. Should the server be killed before, the worker of another one finds the piece.
    let pool = pool.clone();
    tokio::spawn(async move {
        if let Err(error) = sales::promote(&pool, sale, 500).await {
            tracing::warn!(%error, %sale, "a piece could not be passed on");
        }
    });
    // Nobody has got it yet.
    Ok(false)
}
