use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::*;

/// Together no more than the pool has to spare.
static SCREENED: Semaphore = Semaphore::const_new(6);
static SIMPLE: Semaphore = Semaphore::const_new(2);

pub async fn process(
    pool: &PgPool,
    providers: &Providers,
    request: &PaymentRequest,
    screening: Screening,
) -> Result<Payment, PaymentError> {
    let places = if screening == Screening::None { &SIMPLE } else { &SCREENED };
    let paying = async {
        let _place = places.acquire().await.expect("nobody closes it");
        buggy::process(pool, providers, request, screening).await
    };
    timeout(Duration::from_millis(1_500), paying).await.unwrap_or(Err(PaymentError::TooLong))
}
