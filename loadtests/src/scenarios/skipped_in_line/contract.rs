//! What a server with one client promises to buyers who wait.

use anyhow::ensure;
use reqwest::Method;
use uuid::Uuid;

use crate::api::Api;
use crate::sales::{Reservation, announce, comes_to_hold, look, read, reserve};
use crate::scenarios::Clause;

/// Seconds for which the sale holds a piece.
const HOLD: u32 = 600;

pub(super) async fn check(api: &Api, clause: &mut Clause) -> anyhow::Result<()> {
    let buyers: Vec<Uuid> = (0..6).map(|_| Uuid::now_v7()).collect();
    let sale = announce(api, 2, HOLD).await?.id;
    let mut reservations = Vec::new();
    for buyer in &buyers {
        reservations.push(reserve(api, sale, *buyer).await?);
    }
    let cancel = async |nth: usize| -> anyhow::Result<Reservation> {
        let path = format!("/reservations/{}", reservations[nth].id);
        api.of_buyer(Method::DELETE, &path, buyers[nth]).await?.with_status(200)?.json()
    };
    let is_now = async |nth: usize| read(api, reservations[nth].id, buyers[nth]).await;

    clause.is("a buyer who cancels while waiting leaves the line, and those behind move up");
    let gone = cancel(3).await?;
    ensure!(gone.status == "cancelled", "a place in line was cancelled and is {}", gone.status);
    for (nth, place) in [(2, 1), (4, 2), (5, 3)] {
        let position = is_now(nth).await?.position;
        ensure!(
            position == Some(place),
            "a buyer left the line, and the one who should be at place {place} is at {position:?}"
        );
    }
    ensure!(look(api, sale).await?.waiting == 3, "one of four left the line, and not three wait");

    clause.is("a piece that is given back goes to the first in line, and cancelling twice gives back one");
    for _ in 0..2 {
        cancel(0).await?;
    }
    let promoted = comes_to_hold(api, reservations[2].id, buyers[2]).await?;
    ensure!(promoted.expires_at.is_some(), "a piece is held, and no `expiresAt` says until when");
    ensure!(
        promoted.version == reservations[2].version + 1,
        "a buyer who was promoted once has version {}",
        promoted.version
    );

    clause.is("the next piece goes to the next buyer who is still in line");
    cancel(1).await?;
    comes_to_hold(api, reservations[4].id, buyers[4]).await?;
    let last = is_now(5).await?;
    ensure!(last.position == Some(1), "two of three were promoted, and the third is {last:?}");

    clause.is("a buyer who was promoted may cancel as well");
    cancel(2).await?;
    comes_to_hold(api, reservations[5].id, buyers[5]).await?;

    clause.is("when nobody waits, a piece that is given back is free");
    cancel(4).await?;
    let now = look(api, sale).await?;
    ensure!(
        (now.available, now.held, now.waiting) == (1, 1, 0),
        "one of two pieces is held, nobody waits, and the sale is {now:?}"
    );
    Ok(())
}
