use sqlx::postgres::PgPoolOptions;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::*;

/// Payments may wait for these as long as they like: nobody else needs them.
static CONNECTIONS: OnceCell<PgPool> = OnceCell::const_new();

pub async fn process(
    pool: &PgPool,
    providers: &Providers,
    request: &PaymentRequest,
    screening: Screening,
) -> Result<Payment, PaymentError> {
    let connections = CONNECTIONS
        .get_or_try_init(|| {
            PgPoolOptions::new()
                .max_connections(10)
                .acquire_timeout(Duration::from_millis(300))
                .connect_with((*pool.connect_options()).clone())
        })
        .await?;
    let paying = buggy::process(connections, providers, request, screening);
    timeout(Duration::from_millis(1_500), paying).await.unwrap_or(Err(PaymentError::TooLong))
}
