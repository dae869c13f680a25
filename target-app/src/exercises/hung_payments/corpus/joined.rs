use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

use super::*;
use crate::providers::guard::Guard;

static FRAUD_CHECK: LazyLock<Guard> =
    LazyLock::new(|| Guard::new("fraud check", Duration::from_millis(1_000), 32));
static PAYMENTS: LazyLock<Guard> =
    LazyLock::new(|| Guard::new("payment provider", Duration::from_millis(1_000), 32));

/// Payments in work; whoever comes second waits here until the first is done, or has left.
static IN_WORK: LazyLock<Mutex<HashMap<Uuid, watch::Receiver<()>>>> = LazyLock::new(Mutex::default);

fn in_work() -> MutexGuard<'static, HashMap<Uuid, watch::Receiver<()>>> {
    IN_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first attempt, until this is dropped.
struct First(Uuid, #[expect(dead_code, reason = "dropped, it wakes those who wait")] watch::Sender<()>);

impl Drop for First {
    fn drop(&mut self) {
        in_work().remove(&self.0);
    }
}

/// This attempt is the first, or waits for that one.
fn join(payment: Uuid) -> Result<First, watch::Receiver<()>> {
    let mut payments = in_work();
    if let Some(first) = payments.get(&payment) {
        return Err(first.clone());
    }
    let (done, waiting) = watch::channel(());
    payments.insert(payment, waiting);
    Ok(First(payment, done))
}

pub async fn process(
    pool: &PgPool,
    providers: &Providers,
    request: &PaymentRequest,
    screening: Screening,
) -> Result<Payment, PaymentError> {
    let payment = payments::begin(&mut *pool.acquire().await?, request).await?;
    if payment.is_settled() {
        return Ok(payment);
    }
    let _first = match join(payment.id) {
        Ok(first) => first,
        Err(mut first) => {
            // Nothing is ever sent: it ends when the first attempt does.
            let _ = tokio::time::timeout(Duration::from_millis(1_500), first.changed()).await;
            let payment = payments::find(pool, payment.id).await?.ok_or(sqlx::Error::RowNotFound)?;
            return if payment.is_settled() { Ok(payment) } else { Err(PaymentError::TooLong) };
        }
    };
    let (key, order) = (payment.id.to_string(), payment.order_id.to_string());
    let card = card(request, &order);
    let approved = screening == Screening::None || FRAUD_CHECK.call(providers.check_fraud(&card)).await?;
    let charge = if approved { PAYMENTS.call(providers.charge(&key, &card)).await? } else { None };
    Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?)
}
