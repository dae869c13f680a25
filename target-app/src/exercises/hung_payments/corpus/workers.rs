use std::sync::{Arc, LazyLock};

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

use super::*;

type Answer = Result<Payment, PaymentError>;

/// A payment that is recorded, and who waits for it.
struct Job {
    pool: PgPool,
    providers: Providers,
    request: PaymentRequest,
    screening: Screening,
    payment: Payment,
    reply: oneshot::Sender<Answer>,
}

const WORKERS: usize = 32;
const DEADLINE: Duration = Duration::from_millis(800);

static SCREENED: LazyLock<mpsc::Sender<Job>> = LazyLock::new(line);
static SIMPLE: LazyLock<mpsc::Sender<Job>> = LazyLock::new(line);

fn line() -> mpsc::Sender<Job> {
    let (line, jobs) = mpsc::channel(WORKERS);
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..WORKERS {
        tokio::spawn(work(jobs.clone()));
    }
    line
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
    let line = if screening == Screening::None { &SIMPLE } else { &SCREENED };
    let (reply, answer) = oneshot::channel();
    let job = Job {
        pool: pool.clone(),
        providers: providers.clone(),
        request: request.clone(),
        screening,
        payment,
        reply,
    };
    if line.try_send(job).is_err() {
        return Err(PaymentError::TooLong);
    }
    match timeout(2 * DEADLINE, answer).await {
        Ok(Ok(paid)) => paid,
        _ => Err(PaymentError::TooLong),
    }
}

async fn work(jobs: Arc<Mutex<mpsc::Receiver<Job>>>) {
    loop {
        let next = jobs.lock().await.recv().await;
        let Some(job) = next else { return };
        // Whoever has left sends the payment again.
        if job.reply.is_closed() {
            continue;
        }
        let paid = pay(&job).await;
        let _ = job.reply.send(paid);
    }
}

async fn pay(job: &Job) -> Answer {
    let Job { pool, providers, request, screening, payment, .. } = job;
    let (key, order) = (payment.id.to_string(), payment.order_id.to_string());
    let card = card(request, &order);
    let calls = async {
        if *screening == Screening::FraudCheck && !providers.check_fraud(&card).await? {
            return Ok(None);
        }
        providers.charge(&key, &card).await
    };
    let charge = timeout(DEADLINE, calls).await.map_err(|_| PaymentError::TooLong)??;
    Ok(payments::settle(&mut *pool.acquire().await?, payment, settled_by(charge)).await?)
}
