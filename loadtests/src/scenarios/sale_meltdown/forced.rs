//! What the audit forces after the load: it kills servers in the middle of a reservation, and gives pieces back while others wait.

use anyhow::{Context, ensure};
use reqwest::Method;
use uuid::Uuid;

use super::{Round, come_again};
use crate::api::Api;
use crate::checks::reservations::{Moment, kill_at};
use crate::sales;

/// Pieces that are given back while others wait.
const GIVEN_BACK: usize = 6;

/// Cancels a reservation and gives its piece back, as another program that works on this database would: the servers are not told.
const GIVE_BACK: &str = "WITH permits AS (
         SELECT sale_id FROM sale_permits WHERE sale_id = (SELECT sale_id FROM reservations WHERE id = $1) FOR UPDATE
     ), cancelled AS (
         UPDATE reservations SET status = 'cancelled', version = version + 1 FROM permits
         WHERE id = $1 AND reservations.sale_id = permits.sale_id RETURNING permits.sale_id
     )
     UPDATE sale_permits SET held = held - 1 FROM cancelled WHERE sale_permits.sale_id = cancelled.sale_id";

/// Ends a hold now.
const END_HOLD: &str = "UPDATE reservations SET expires_at = clock_timestamp() WHERE id = $1";

impl Round {
    /// Kills all servers at each moment of a reservation, and has its buyer reserve again. Returns at which moments they were killed.
    pub(super) async fn kill(&self, api: &Api, buyers: &[Uuid]) -> anyhow::Result<Vec<Moment>> {
        let mut reached = Vec::new();
        if api.replicas().is_none() {
            return Ok(reached);
        }
        for (moment, buyer) in Moment::ALL.into_iter().zip(buyers) {
            // So that it is this buyer's job or mail that is held up.
            sales::jobs_done(api).await?;
            if kill_at(moment, api, self.later, *buyer).await? {
                reached.push(moment);
            }
            let reservation = come_again(api, self.later, *buyer)
                .await
                .with_context(|| format!("servers were killed {}", moment.words()))?;
            ensure!(reservation.is_held(), "servers were killed {}, and now the buyer waits", moment.words());
        }
        Ok(reached)
    }
}

/// Gives the piece of a sale back several times while a buyer waits, and has another buyer come at that moment. At last, the hold ends by itself.
pub(super) async fn give_back(api: &Api) -> anyhow::Result<()> {
    let mut database = api.database().await?;
    let sale = sales::announce(api, 1, super::HOLD_SECONDS).await?.id;
    let come = async || {
        let buyer = Uuid::now_v7();
        anyhow::Ok((buyer, sales::reserve(api, sale, buyer).await?))
    };
    let (mut holder, mut first) = (come().await?, come().await?);
    let right = holder.1.is_held() && !first.1.is_held();
    ensure!(right, "of one piece, the first buyer got {:?}, and the second {:?}", holder.1, first.1);
    for _ in 0..GIVEN_BACK {
        let (buyer, reservation) = holder;
        match &mut database {
            Some(database) => {
                sqlx::query(GIVE_BACK).bind(reservation.id).execute(database).await?;
            }
            None => {
                let path = format!("/reservations/{}", reservation.id);
                api.of_buyer(Method::DELETE, &path, buyer).await?.with_status(200)?;
            }
        }
        let other = come().await?;
        ensure!(
            !other.1.is_held(),
            "a piece was given back, and a buyer who came at that moment got it before the one who waits"
        );
        holder = (first.0, sales::comes_to_hold(api, first.1.id, first.0).await?);
        first = other;
    }
    if let Some(database) = &mut database {
        let (buyer, reservation) = holder;
        sqlx::query(END_HOLD).bind(reservation.id).execute(database).await?;
        let again = sales::reserve(api, sale, buyer)
            .await
            .context("a hold has expired, and its buyer reserves again")?;
        let right = again.id != reservation.id && !again.is_held();
        ensure!(right, "a hold has expired, somebody waits, and its buyer got {again:?}");
        sales::comes_to_hold(api, first.1.id, first.0).await.context("a hold has expired")?;
    }
    Ok(())
}
