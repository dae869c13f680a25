//! What a sale promises to a single client.

use std::collections::BTreeSet;

use anyhow::ensure;
use chrono::{TimeDelta, Utc};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::api::Api;
use crate::sales::{self, Reservation, announce, comes_to_hold, look, read, reserve};
use crate::scenarios::Clause;

/// Seconds for which the sales of this contract hold a piece, and how far the clocks may be apart.
const HOLD: u32 = 600;
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(300);

pub(super) async fn check(api: &Api, clause: &mut Clause) -> anyhow::Result<()> {
    let before = api.providers()?.ledger("mail").await?.len();
    let [first, second, third, fourth] = [(); 4].map(|()| Uuid::now_v7());

    clause.is("a new sale has all of its pieces");
    let sale = announce(api, 2, HOLD).await?.id;

    clause.is("a reservation is acknowledged with 202 and held for as long as the sale says");
    let held = reserve(api, sale, first).await?;
    ensure!(held.is_held(), "there are pieces, and a reservation is {}", held.status);
    let ends = held.expires_at.unwrap_or_default() - Utc::now() - TimeDelta::seconds(HOLD.into());
    ensure!(
        ends.abs() < CLOCKS_DIFFER,
        "a hold of {HOLD} s ends {} s from when it should",
        ends.num_seconds()
    );

    // Before it is cancelled: a reservation that is not held any more is not confirmed.
    clause.is("a buyer whose piece is held gets a confirmation");
    let mut told = BTreeSet::from([held.id]);
    sales::ensure_confirmed(api, before, &told).await?;

    clause.is("a buyer can read a reservation, and nobody else can");
    let found = read(api, held.id, first).await?;
    ensure!(found.agrees_with(&held), "the reservation is {found:?}, and it was acknowledged as {held:?}");
    let path = format!("/reservations/{}", held.id);
    for method in [Method::GET, Method::DELETE] {
        api.of_buyer(method, &path, second).await?.with_status(404)?;
    }

    clause.is("a buyer who asks again gets the same reservation");
    for _ in 0..2 * api.targets.len() {
        let again = reserve(api, sale, first).await?;
        ensure!(again.agrees_with(&held), "the same buyer got {again:?}, and had {held:?}");
    }

    clause.is("when all pieces are held, the next buyers wait, one after the other");
    ensure!(reserve(api, sale, second).await?.is_held(), "a piece is free, and nobody gets it");
    let waiting = [reserve(api, sale, third).await?, reserve(api, sale, fourth).await?];
    for (place, reservation) in (1..).zip(&waiting) {
        let right = reservation.status == "waiting" && reservation.position == Some(place);
        ensure!(right, "2 of 2 pieces are held, and buyer {place} on the waiting list got {reservation:?}");
    }

    clause.is("the sale's counts add up");
    let now = look(api, sale).await?;
    let counts = (now.stock, now.available, now.held, now.paid, now.waiting);
    ensure!(counts == (2, 0, 2, 0, 2), "two pieces are held and two buyers wait, and the sale is {now:?}");

    clause.is("a piece that is given back goes to the buyer who has waited longest");
    let cancelled: Reservation =
        api.of_buyer(Method::DELETE, &path, first).await?.with_status(200)?.json()?;
    let right = cancelled.status == "cancelled" && cancelled.version > held.version;
    ensure!(right, "a reservation was cancelled and is {cancelled:?}");
    let promoted = comes_to_hold(api, waiting[0].id, third).await?;
    ensure!(promoted.version > waiting[0].version, "a reservation is held now, and its version is as before");
    let left = read(api, waiting[1].id, fourth).await?;
    ensure!(
        left.position == Some(1),
        "whoever was second on the waiting list is {left:?} when the first has a piece"
    );
    api.of_buyer(Method::DELETE, &path, first).await?.with_status(200)?;
    ensure!(
        look(api, sale).await?.held == 2,
        "a reservation was cancelled twice, and a piece is lost or won"
    );

    clause.is("a buyer who has cancelled may reserve again, and waits behind the others");
    let again = reserve(api, sale, first).await?;
    let right = again.id != held.id && again.status == "waiting" && again.position == Some(2);
    ensure!(right, "whoever had cancelled got {again:?}, and one buyer waits");

    clause.is("without pieces, every buyer waits; a sale may have a billion pieces");
    let empty = announce(api, 0, HOLD).await?.id;
    ensure!(!reserve(api, empty, first).await?.is_held(), "a sale without pieces has sold one");
    let huge = announce(api, 1_000_000_000, HOLD).await?.id;
    let one = reserve(api, huge, first).await?;
    ensure!(one.is_held(), "one of a billion pieces is not to be had: {one:?}");

    clause.is("what cannot be reserved is refused");
    for (stock, hold) in [(-1, HOLD), (1_000_000_001, HOLD), (1, 0)] {
        api.post("/sales", None, &sales::new_sale(stock, hold)).await?.with_status(422)?;
    }
    api.of_buyer(Method::POST, &sales::reservations(Uuid::now_v7()), first).await?.with_status(404)?;
    let mut later = sales::new_sale(1, HOLD);
    later["opensAt"] = json!(Utc::now() + TimeDelta::hours(1));
    let closed: sales::Sale = api.post("/sales", None, &later).await?.with_status(201)?.json()?;
    api.of_buyer(Method::POST, &sales::reservations(closed.id), first).await?.with_status(409)?;
    // Nobody has said who asks.
    api.ask(Method::POST, &sales::reservations(sale), None, None).await?.with_status(400)?;

    clause.is("each held reservation is confirmed once, and no other is");
    told.extend([reserve(api, sale, second).await?.id, promoted.id, one.id]);
    sales::ensure_confirmed(api, before, &told).await?;

    clause.is("when nobody waits any more, the next buyer gets what is free, from every server");
    for (id, buyer) in [(again.id, first), (left.id, fourth), (promoted.id, third)] {
        api.of_buyer(Method::DELETE, &format!("/reservations/{id}"), buyer).await?.with_status(200)?;
    }
    for server in 0..api.targets.len() {
        let (server, buyer) = (api.only(server)?, Uuid::now_v7());
        let reservation = reserve(&server, sale, buyer).await?;
        ensure!(reservation.is_held(), "a piece is free, nobody waits, and a buyer got {reservation:?}");
        told.insert(reservation.id);
        sales::ensure_confirmed(api, before, &told).await?;
        let path = format!("/reservations/{}", reservation.id);
        server.of_buyer(Method::DELETE, &path, buyer).await?.with_status(200)?;
    }
    Ok(())
}
