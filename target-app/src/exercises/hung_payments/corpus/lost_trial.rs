use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::*;

enum State {
    Closed { failures: u32 },
    Open { since: Instant },
    Trial,
}

struct Breaker {
    places: Semaphore,
    state: Mutex<State>,
}

impl Breaker {
    fn new() -> Self {
        Breaker { places: Semaphore::new(32), state: Mutex::new(State::Closed { failures: 0 }) }
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Result<T, PaymentError> {
        let place = self.places.try_acquire();
        if place.is_err() || !self.admit() {
            return Err(PaymentError::TooLong);
        }
        let answered = timeout(Duration::from_secs(1), call).await;
        let is_well = matches!(&answered, Ok(answer) if !matches!(answer, Err(CallError::Unknown { .. })));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = match &*state {
            _ if is_well => State::Closed { failures: 0 },
            State::Closed { failures } if *failures < 5 => State::Closed { failures: failures + 1 },
            _ => State::Open { since: Instant::now() },
        };
        drop(state);
        Ok(answered.map_err(|_| PaymentError::TooLong)??)
    }

    /// Whether the service is called. After a rest one call is; what it comes to decides.
    fn admit(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Closed { .. } => true,
            State::Open { since } if since.elapsed() > Duration::from_millis(500) => {
                *state = State::Trial;
                true
            }
            State::Open { .. } | State::Trial => false,
        }
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
    let approved = screening == Screening::None || FRAUD_CHECK.call(providers.check_fraud(&card)).await?;
    let charge = if approved { PAYMENTS.call(providers.charge(&key, &card)).await? } else { None };
    Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?)
}
