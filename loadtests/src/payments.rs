//! Payments as the API shows them, and what the payment provider has in its ledger.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::json;
use simulated_providers::{Charge, Profile};
use target_app::domain::money::Cents;
use uuid::Uuid;

use crate::api::{Api, Reply};
use crate::shop::Order;

/// A card that everybody accepts.
pub const GOOD_CARD: &str = "4242";
/// A card that the fraud check denies.
pub const STOLEN_CARD: &str = "0004";
/// A card that the payment provider declines.
pub const EMPTY_CARD: &str = "0002";

/// A payment provider that takes money and does not say so: it answers an error, half an answer, or nothing.
pub const UNCLEAR: Profile =
    Profile { failed_share: 0.4, garbled_share: 0.3, lost_share: 0.3, ..Profile::CALM };

/// Where payments go that need a fraud check.
pub const PROCESS: &str = "/api/payments/process";
/// Where the others go.
pub const PROCESS_SIMPLE: &str = "/api/payments/process-simple";

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// Stable id.
    pub id: Uuid,
    /// What is paid.
    pub order_id: Uuid,
    /// How much.
    pub amount: Cents,
    /// processing, succeeded or declined.
    pub status: String,
}

impl Payment {
    /// A payment in an answer.
    pub fn read(body: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(body)
    }

    /// Whether it is what somebody who paid this order has to get.
    pub fn is_of(&self, order: &Order) -> bool {
        self.order_id == order.id && self.amount == order.total && self.status == "succeeded"
    }
}

/// The body of a request that pays this order.
pub fn body(order: &Order, card: &str) -> serde_json::Value {
    json!({ "orderId": order.id, "amount": order.total, "paymentMethod": "card", "cardLast4": card })
}

/// Asks to pay an order, whatever the answer.
pub async fn pay(api: &Api, path: &str, order: &Order, card: &str) -> anyhow::Result<Reply> {
    api.post(path, None, &body(order, card)).await
}

/// Pays an order.
///
/// # Errors
/// When it is not paid by one request.
pub async fn ensure_paid(api: &Api, path: &str, order: &Order, card: &str) -> anyhow::Result<Payment> {
    let reply = pay(api, path, order, card).await?.with_status(201)?;
    let payment = Payment::read(&reply.body).context("the answer to a payment is not a payment")?;
    ensure!(payment.is_of(order), "the payment of order {} is {payment:?}", order.id);
    Ok(payment)
}

/// Charges by their reference, which is the order.
pub type Charges = BTreeMap<String, Vec<Charge>>;

/// The charges that were made and not refunded. The first `before` of the ledger are left out.
pub async fn charges(api: &Api, before: usize) -> anyhow::Result<Charges> {
    let mut charges = Charges::new();
    for entry in api.providers()?.ledger("payments").await?.into_iter().skip(before) {
        let charge: Charge = serde_json::from_value(entry.request).context("the ledger has charges")?;
        if !entry.undone {
            charges.entry(charge.reference.clone()).or_default().push(charge);
        }
    }
    Ok(charges)
}

/// Whether these orders were charged, each its total and once, and nothing else was. The first `before` of the ledger are left out.
///
/// # Errors
/// Says what is wrong.
pub async fn ensure_charged(api: &Api, before: usize, orders: &[&Order]) -> anyhow::Result<()> {
    let charges = charges(api, before).await?;
    for order in orders {
        let charged = charges.get(&order.id.to_string()).map_or(&[][..], Vec::as_slice);
        ensure!(charged.len() == 1, "order {} was charged {} times", order.id, charged.len());
        let amount = charged[0].amount_cents;
        ensure!(amount == order.total.0, "an order of {} was charged {amount} cents", order.total);
    }
    let others = charges.len() - orders.len();
    ensure!(others == 0, "{others} charges belong to no order that was paid");
    Ok(())
}

/// Between two attempts of somebody who was told to come back.
pub const PAUSE: Duration = Duration::from_millis(50);

/// Sends a request until it is answered otherwise than with 409 or 503, as customers do who try again: that answer.
///
/// # Errors
/// When that takes longer than `recovery`, or there is no answer.
pub async fn until_settled<R>(recovery: Duration, send: impl Fn() -> R) -> anyhow::Result<Reply>
where
    R: Future<Output = anyhow::Result<Reply>>,
{
    let start = Instant::now();
    loop {
        let left = recovery.saturating_sub(start.elapsed());
        let reply = tokio::time::timeout(left, send()).await;
        let reply = reply.map_err(|_| anyhow::anyhow!("no answer within {recovery:?}"))??;
        match reply.status.as_u16() {
            409 | 503 if start.elapsed() + PAUSE < recovery => tokio::time::sleep(PAUSE).await,
            _ => return Ok(reply),
        }
    }
}
