//! What clients of the services see.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::callbacks;
use crate::ledger::Entry;
use crate::service::{Body, Problem, Service, idempotency_key, problem};
use crate::services::Services;

/// Ends of card numbers that the payment provider declines and the fraud check denies.
const DECLINED: &str = "0002";
const DENIED: &str = "0004";

/// Characters that a text in a request may have.
const LONGEST_TEXT: usize = 10_000;

pub(crate) fn router(services: Arc<Services>) -> Router {
    Router::new()
        .route("/payments/charges", post(charge).get(find_charge))
        .route("/payments/charges/{number}", get(read_charge))
        .route("/payments/charges/{number}/refund", post(refund))
        .route("/fraud/checks", post(check))
        .route("/mail/messages", post(send_mail))
        .route("/carrier/shipments", post(ship))
        .fallback(async || problem(StatusCode::NOT_FOUND, "no such service"))
        .with_state(services)
}

/// A charge of a card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Charge {
    /// In whole cents, at least 1.
    pub amount_cents: i64,
    /// Such as `card`.
    pub payment_method: String,
    /// The last four digits of the card. `0002` is declined.
    pub card_last4: String,
    /// What is paid for, in the client's words.
    pub reference: String,
    /// Where the outcome is sent, signed and at least once, instead of in the answer. On loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
}

/// What is to be judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FraudCheck {
    /// In whole cents.
    pub amount_cents: i64,
    /// The last four digits of the card. `0004` is denied.
    pub card_last4: String,
    /// What is paid for, in the client's words.
    pub reference: String,
}

/// A message to somebody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Message {
    /// An address.
    pub to: String,
    /// One line.
    pub subject: String,
    /// The text.
    pub text: String,
}

/// A parcel for somebody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shipment {
    /// What is shipped, in the client's words.
    pub reference: String,
    /// Where to.
    pub address: String,
}

fn check_texts(texts: &[&str]) -> Result<(), Problem> {
    if texts.iter().any(|text| text.is_empty() || text.len() > LONGEST_TEXT) {
        let detail = format!("a text must have 1 to {LONGEST_TEXT} characters");
        return Err(problem(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    Ok(())
}

fn check_card(amount_cents: i64, card_last4: &str) -> Result<(), Problem> {
    if amount_cents < 1 {
        return Err(problem(StatusCode::UNPROCESSABLE_ENTITY, "amountCents must be at least 1"));
    }
    if card_last4.len() != 4 || !card_last4.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(problem(StatusCode::UNPROCESSABLE_ENTITY, "cardLast4 must have four digits"));
    }
    Ok(())
}

fn value(request: &impl Serialize) -> Value {
    serde_json::to_value(request).unwrap_or_default()
}

/// A charge as clients see it.
fn shown(entry: &Entry) -> Value {
    let status = if entry.undone { "refunded" } else { "succeeded" };
    json!({
        "number": entry.number,
        "status": status,
        "amountCents": entry.request["amountCents"],
        "reference": entry.request["reference"],
    })
}

async fn charge(
    State(services): State<Arc<Services>>,
    headers: HeaderMap,
    Body(charge): Body<Charge>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    check_texts(&[&charge.payment_method, &charge.reference])?;
    check_card(charge.amount_cents, &charge.card_last4)?;
    if let Some(url) = &charge.callback_url {
        callbacks::check(url).map_err(|error| problem(StatusCode::UNPROCESSABLE_ENTITY, error))?;
    }
    let callbacks = services.callbacks.clone();
    let effect = move |service: &Service| {
        if charge.card_last4 == DECLINED {
            return problem(StatusCode::PAYMENT_REQUIRED, "the card was declined").into_response();
        }
        service.enter(key, value(&charge), |entry| {
            let Some(url) = charge.callback_url.clone() else { return shown(entry) };
            // Whoever asks again with the same key waits for the callback that is on its way.
            if entry.requests == 1 {
                callbacks.send(url, entry.number, shown(entry));
            }
            json!({ "number": entry.number, "status": "pending" })
        })
    };
    Ok(services.payments.answer(effect).await)
}

#[derive(Deserialize)]
struct ByKey {
    key: String,
}

async fn find_charge(State(services): State<Arc<Services>>, Query(ByKey { key }): Query<ByKey>) -> Response {
    let found = move |service: &Service| found(service.ledger.with_key(&key));
    services.payments.answer(found).await
}

async fn read_charge(State(services): State<Arc<Services>>, Path(number): Path<usize>) -> Response {
    let found = move |service: &Service| found(service.ledger.with_number(number));
    services.payments.answer(found).await
}

async fn refund(State(services): State<Arc<Services>>, Path(number): Path<usize>) -> Response {
    let undone = move |service: &Service| found(service.ledger.undo(number));
    services.payments.answer(undone).await
}

fn found(entry: Option<Entry>) -> Response {
    match entry {
        Some(entry) => Json(shown(&entry)).into_response(),
        None => problem(StatusCode::NOT_FOUND, "there is no such charge").into_response(),
    }
}

async fn check(
    State(services): State<Arc<Services>>,
    Body(check): Body<FraudCheck>,
) -> Result<Response, Problem> {
    check_texts(&[&check.reference])?;
    check_card(check.amount_cents, &check.card_last4)?;
    let decision = if check.card_last4 == DENIED { "deny" } else { "approve" };
    Ok(services.fraud.answer(move |_| Json(json!({ "decision": decision })).into_response()).await)
}

async fn send_mail(
    State(services): State<Arc<Services>>,
    headers: HeaderMap,
    Body(message): Body<Message>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    check_texts(&[&message.to, &message.subject, &message.text])?;
    let number = |entry: &Entry| json!({ "number": entry.number });
    Ok(services.mail.answer(move |service| service.enter(key, value(&message), number)).await)
}

async fn ship(
    State(services): State<Arc<Services>>,
    headers: HeaderMap,
    Body(shipment): Body<Shipment>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    check_texts(&[&shipment.reference, &shipment.address])?;
    let tracked =
        |entry: &Entry| json!({ "number": entry.number, "trackingNumber": format!("T{:08}", entry.number) });
    Ok(services.carrier.answer(move |service| service.enter(key, value(&shipment), tracked)).await)
}
