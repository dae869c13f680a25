use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::*;

/// A service that fails five times in a row rests.
struct Breaker {
    places: Semaphore,
    state: Mutex<(u32, Option<Instant>)>,
}

impl Breaker {
    fn new() -> Self {
        Breaker { places: Semaphore::new(32), state: Mutex::default() }
    }

    /// `is_well` tells a good answer from a bad one.
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, CallError>>,
        is_well: impl Fn(&T) -> bool,
    ) -> Result<T, PaymentError> {
        let Ok(_place) = self.places.try_acquire() else { return Err(PaymentError::TooLong) };
        let resting = self.state.lock().unwrap_or_else(PoisonError::into_inner).1;
        if resting.is_some_and(|until| Instant::now() < until) {
            return Err(PaymentError::TooLong);
        }
        let answered = timeout(Duration::from_secs(1), call).await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &answered {
            Ok(Ok(answer)) if is_well(answer) => *state = (0, None),
            _ => {
                state.0 += 1;
                if state.0 >= 5 {
                    *state = (0, Some(Instant::now() + Duration::from_millis(500)));
                }
            }
        }
        drop(state);
        Ok(answered.map_err(|_| PaymentError::TooLong)??)
    }
}

static FRAUD_CHECK: LazyLock<Breaker> = LazyLock::new(Breaker::new);
static PAYMENTS: LazyLock<Breaker> = LazyLock::new(Breaker::new);

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
    let (key, order) = (payment.id.to_string(), payment.order_id.to_string());
    let card = card(request, &order);
    let approved = screening == Screening::None
        || FRAUD_CHECK.call(providers.check_fraud(&card), |approved| *approved).await?;
    let charge =
        if approved { PAYMENTS.call(providers.charge(&key, &card), Option::is_some).await? } else { None };
    Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?)
}
