//! Flash sales as their API shows them: what contracts, loads and audits of its exercises have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt};
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use simulated_providers::Message;
use uuid::Uuid;

use crate::api::{Api, BUYER};
use crate::load::Request;

/// Requests that are sent at a time when the load is over.
pub const AT_A_TIME: usize = 16;

/// How long a buyer may have to wait for a confirmation, once nothing is in its way.
const CONFIRMED: Duration = Duration::from_secs(10);

/// How long the buyer who has waited longest may wait for a free piece.
const PROMOTED: Duration = Duration::from_secs(10);

/// Between two looks.
const POLL: Duration = Duration::from_millis(20);

/// A sale, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Sale {
    /// Stable id.
    pub id: Uuid,
    /// Pieces at the beginning.
    pub stock: i64,
    /// Pieces that are neither held nor paid for.
    pub available: i64,
    /// Pieces that are held for a buyer.
    pub held: i64,
    /// Pieces that are paid.
    pub paid: i64,
    /// Buyers on the waiting list.
    pub waiting: i64,
}

/// A reservation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// Stable id.
    pub id: Uuid,
    /// The sale.
    pub sale_id: Uuid,
    /// waiting, held, paid, expired or cancelled.
    pub status: String,
    /// Incremented by each transition.
    pub version: i64,
    /// When the hold ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// Place in the waiting list.
    pub position: Option<i64>,
}

impl Reservation {
    /// A reservation in an answer.
    pub fn read(body: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(body)
    }

    /// Whether `other` says the same of the same reservation, but for the place in the waiting list. A time in JSON may be more exact than
    /// in a database.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let ends = match (self.expires_at, other.expires_at) {
            (Some(one), Some(other)) => (one - other).abs() < TimeDelta::milliseconds(1),
            (one, other) => one == other,
        };
        (self.id, self.sale_id, &self.status) == (other.id, other.sale_id, &other.status) && ends
    }

    /// Whether a piece is held for the buyer.
    pub fn is_held(&self) -> bool {
        self.status == "held"
    }

    /// Whether it is as a reservation of this sale must be that was just acknowledged.
    pub fn is_of(&self, sale: Uuid) -> bool {
        self.sale_id == sale
            && match self.status.as_str() {
                "held" => self.expires_at.is_some() && self.position.is_none(),
                "waiting" => self.position.is_some_and(|position| position > 0),
                _ => false,
            }
    }
}

/// The body of a request that announces a sale.
pub fn new_sale(stock: i64, hold_seconds: u32) -> Value {
    json!({ "name": "Limited edition", "stock": stock, "price": 19.99, "holdSeconds": hold_seconds })
}

/// Announces a sale that is open.
pub async fn announce(api: &Api, stock: i64, hold_seconds: u32) -> anyhow::Result<Sale> {
    let reply = api.post("/sales", None, &new_sale(stock, hold_seconds)).await?.with_status(201)?;
    let sale: Sale = reply.json()?;
    let expected = Sale { id: sale.id, stock, available: stock, held: 0, paid: 0, waiting: 0 };
    ensure!(sale == expected, "a new sale of {stock} pieces is {sale:?}");
    Ok(sale)
}

/// The path at which a sale's pieces are reserved.
pub fn reservations(sale: Uuid) -> String {
    format!("/sales/{sale}/reservations")
}

/// A request of a buyer, for a load.
pub fn request(name: &'static str, method: Method, path: String, buyer: Uuid) -> Request {
    let buyer = HeaderValue::from_str(&buyer.to_string()).expect("an id is a header's value");
    let headers = vec![(HeaderName::from_static(BUYER), buyer)];
    Request { method, headers, ..Request::get(name, path) }
}

/// Reserves a piece for a buyer.
///
/// # Errors
/// When that is not acknowledged.
pub async fn reserve(api: &Api, sale: Uuid, buyer: Uuid) -> anyhow::Result<Reservation> {
    let reply = api.of_buyer(Method::POST, &reservations(sale), buyer).await?.with_status(202)?;
    let reservation: Reservation = reply.json()?;
    ensure!(reservation.is_of(sale), "a reservation was acknowledged as {reservation:?}");
    Ok(reservation)
}

/// A reservation as its buyer sees it.
pub async fn read(api: &Api, id: Uuid, buyer: Uuid) -> anyhow::Result<Reservation> {
    api.of_buyer(Method::GET, &format!("/reservations/{id}"), buyer).await?.with_status(200)?.json()
}

/// Waits until a buyer who waited has a piece.
///
/// # Errors
/// When that takes too long.
pub async fn comes_to_hold(api: &Api, id: Uuid, buyer: Uuid) -> anyhow::Result<Reservation> {
    let start = Instant::now();
    loop {
        let reservation = read(api, id, buyer).await?;
        if reservation.is_held() {
            return Ok(reservation);
        }
        ensure!(
            start.elapsed() < PROMOTED,
            "a piece is free, and the buyer who has waited longest has {reservation:?}"
        );
        tokio::time::sleep(POLL).await;
    }
}

/// The sale as everybody sees it.
pub async fn look(api: &Api, sale: Uuid) -> anyhow::Result<Sale> {
    api.get(&format!("/sales/{sale}"), None).await
}

/// The reservations of these buyers, each requested by its buyer. None for one that is not there.
pub async fn read_all(
    api: &Api,
    acknowledged: &BTreeMap<Uuid, Reservation>,
) -> anyhow::Result<Vec<Option<Reservation>>> {
    let reading = acknowledged.iter().map(async |(buyer, reservation)| {
        let path = format!("/reservations/{}", reservation.id);
        let reply = api.of_buyer(Method::GET, &path, *buyer).await?;
        match reply.status.as_u16() {
            404 => Ok(None),
            _ => reply.with_status(200)?.json().map(Some),
        }
    });
    let reading: Vec<_> = reading.collect();
    futures::stream::iter(reading).buffered(AT_A_TIME).try_collect().await
}

/// Waits until the servers have no job left, or long enough. The job of a server that was killed is due again after some seconds, and its effect would
/// be taken for that of another request.
pub async fn jobs_done(api: &Api) -> anyhow::Result<()> {
    let Some(mut database) = api.database().await? else { return Ok(()) };
    let start = Instant::now();
    let left = "SELECT EXISTS (SELECT FROM sale_jobs)";
    while sqlx::query_scalar(left).fetch_one(&mut database).await? && start.elapsed() < CONFIRMED {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// How often each address got a message. The first `before` entries of the ledger are left out.
pub async fn confirmations(api: &Api, before: usize) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut sent = BTreeMap::new();
    for entry in api.providers()?.ledger("mail").await?.into_iter().skip(before) {
        let message: Message = serde_json::from_value(entry.request).context("the ledger has messages")?;
        *sent.entry(message.to).or_default() += 1;
    }
    Ok(sent)
}

/// Waits until each of these reservations is confirmed, and makes sure that each is confirmed once, and no other.
///
/// # Errors
/// Says how many are not, or too often.
pub async fn ensure_confirmed(api: &Api, before: usize, held: &BTreeSet<Uuid>) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        let sent = confirmations(api, before).await?;
        let missing = held.iter().filter(|id| !sent.contains_key(&id.to_string())).count();
        if missing > 0 && start.elapsed() < CONFIRMED {
            tokio::time::sleep(POLL).await;
            continue;
        }
        let all = held.len();
        ensure!(missing == 0, "{missing} of {all} held reservations have no confirmation");
        let twice = sent.values().filter(|count| **count > 1).count();
        ensure!(twice == 0, "{twice} of {all} held reservations have more than one confirmation");
        let others = sent.keys().filter(|to| !to.parse().is_ok_and(|id| held.contains(&id))).count();
        ensure!(others == 0, "confirmations that belong to no held reservation: {others}");
        return Ok(());
    }
}
