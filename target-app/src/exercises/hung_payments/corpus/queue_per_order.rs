use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError};

use tokio::sync::Mutex;
use uuid::Uuid;

use super::*;
use crate::providers::guard::Guard;

static FRAUD_CHECK: LazyLock<Guard> =
    LazyLock::new(|| Guard::new("fraud check", Duration::from_millis(1_000), 32));
static PAYMENTS: LazyLock<Guard> =
    LazyLock::new(|| Guard::new("payment provider", Duration::from_millis(1_000), 32));

static ORDERS: LazyLock<std::sync::Mutex<HashMap<Uuid, Arc<Mutex<()>>>>> = LazyLock::new(Default::default);

pub async fn process(
    pool: &PgPool,
    providers: &Providers,
    request: &PaymentRequest,
    screening: Screening,
) -> Result<Payment, PaymentError> {
    let mine = {
        let mut orders = ORDERS.lock().unwrap_or_else(PoisonError::into_inner);
        orders.retain(|_, attempts| Arc::strong_count(attempts) > 1);
        orders.entry(request.order_id).or_default().clone()
    };
    let _turn = mine.lock().await;
    let payment = payments::begin(&mut *pool.acquire().await?, request).await?;
    if payment.is_settled() {
        return Ok(payment);
    }
    let (key, order) = (payment.id.to_string(), payment.order_id.to_string());
    let card = card(request, &order);
    let approved = screening == Screening::None || FRAUD_CHECK.call(providers.check_fraud(&card)).await?;
    let charge = if approved { PAYMENTS.call(providers.charge(&key, &card)).await? } else { None };
    Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?)
}
