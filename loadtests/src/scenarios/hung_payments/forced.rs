//! What is done when the load is over, each at a moment that is forced: services that do not answer a crowd, and servers that are killed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::future::join_all;
use simulated_providers::{Point, Profile, Release};

use super::{GOOD_DAY, HUNG, PRODUCTS, RECOVERY, Round, SILENT, Sale};
use crate::api::Api;
use crate::checks::kills::{Moment, Recorded, kill_at};
use crate::load::lock;
use crate::payments::{self, PAUSE};

/// Product pages that are asked for while a crowd waits, and what each may take.
const PAGES: usize = 5;
pub(super) const PAGE_TAKES: Duration = Duration::from_secs(1);

/// Attempts to pay one order at one moment while a service does not answer: were they made one after the other, they would take too long.
const ATTEMPTS: usize = 4;

impl Round {
    /// Has a crowd pay while the fraud check does not answer: how many calls wait for it at most, and whether product pages are answered
    /// meanwhile. A payment without a fraud check has to succeed, if all has `ended` in time until then.
    pub(super) async fn crowd(
        &self,
        api: &Api,
        crowd: &[Sale],
        simple: &Sale,
        ended: &mut anyhow::Result<()>,
    ) -> anyhow::Result<(usize, anyhow::Result<()>)> {
        let providers = api.providers()?;
        providers.count_most_anew("fraud").await?;
        let paying = join_all(crowd.iter().map(|sale| sale.pay(api)));
        let looking = async {
            // When all have come who come at all.
            let start = Instant::now();
            let mut before = 0;
            loop {
                tokio::time::sleep(PAUSE).await;
                let calls = providers.status("fraud").await?.in_flight;
                if calls > 0 && calls == before || start.elapsed() > PAGE_TAKES {
                    break;
                }
                before = calls;
            }
            let mut pages = Ok(());
            for _ in 0..PAGES {
                let page =
                    tokio::time::timeout(PAGE_TAKES, api.ask(reqwest::Method::GET, PRODUCTS, None, None));
                pages = match page.await {
                    Ok(page) => page.and_then(|page| page.with_status(200)).map(drop),
                    Err(_) => Err(anyhow::anyhow!("a product page was not answered within {PAGE_TAKES:?}")),
                };
                if pages.is_err() {
                    break;
                }
            }
            if ended.is_ok() {
                *ended = self.pay_at_once(api, simple).await;
            }
            anyhow::Ok((providers.status("fraud").await?.most_in_flight, pages))
        };
        tokio::pin!(paying);
        tokio::select! {
            looked = looking => looked,
            _ = async { paying.await; std::future::pending::<()>().await } => unreachable!("it waits for the look"),
        }
    }

    /// Pays many orders at once while neither service answers, some of them several times. Returns the highest number of concurrent charges,
    /// and whether every request was refused in time.
    pub(super) async fn unanswered(
        &self,
        api: &Api,
        checked: &Sale,
        simple: &[Sale],
    ) -> anyhow::Result<(usize, anyhow::Result<()>)> {
        let providers = api.providers()?;
        providers.set_profile("fraud", &HUNG).await?;
        providers.set_profile("payments", &SILENT).await?;
        providers.count_most_anew("payments").await?;
        let attempts = [checked, &simple[0]].into_iter().flat_map(|sale| std::iter::repeat_n(sale, ATTEMPTS));
        let ended = join_all(attempts.chain(&simple[1..]).map(|sale| ends_in_time(api, sale))).await;
        let charges = providers.status("payments").await?.most_in_flight;
        providers.set_profile("fraud", &GOOD_DAY).await?;
        providers.set_profile("payments", &Profile::CALM).await?;
        Ok((charges, ended.into_iter().collect()))
    }

    /// Kills the server at this moment of a payment, and has it paid: whether the payment came that far, and whether it can be paid.
    pub(super) async fn kill(
        &self,
        api: &Api,
        moment: Moment,
        sale: &Sale,
    ) -> anyhow::Result<(bool, anyhow::Result<()>)> {
        let recorded = Recorded {
            question: "SELECT status = 'paid' AND id <> ALL($2) FROM orders WHERE id = $1",
            id: sale.order.id,
            known: Vec::new(),
        };
        let is_confirmed = AtomicBool::new(false);
        let paying = async {
            let is_paid = sale.pay(api).await.is_ok_and(|reply| reply.status == 201);
            is_confirmed.store(is_paid, Ordering::Relaxed);
        };
        let reached = kill_at(moment, api, paying, recorded).await?;
        let is_paid = sale.is_paid(api).await?;
        let charges = payments::charges(api, self.before).await?;
        let is_charged = charges.contains_key(&sale.order.id.to_string());
        if is_confirmed.into_inner() && !is_paid || is_paid && !is_charged {
            let flaw = if is_paid { "paid and not charged" } else { "confirmed and not paid" };
            lock(&self.flaws).push(format!("killed {}, it leaves an order {flaw}", moment.words()));
        }
        if moment == Moment::DuringCharge {
            self.come_back_late(api, sale).await?;
        }
        let paid = self.pay_until_settled(api, sale).await;
        let paid = paid.with_context(|| format!("the server was killed {}", moment.words()));
        Ok((reached == Some(true), paid))
    }

    /// Makes it a day since the payment of this order was begun.
    pub(super) async fn come_back_late(&self, api: &Api, sale: &Sale) -> anyhow::Result<()> {
        if let Some(mut database) = api.database().await? {
            sqlx::query("UPDATE payments SET created_at = created_at - interval '1 day' WHERE order_id = $1")
                .bind(sale.order.id)
                .execute(&mut database)
                .await?;
        }
        Ok(())
    }

    /// Pays an order that needs nobody who does not answer.
    pub(super) async fn pay_at_once(&self, api: &Api, sale: &Sale) -> anyhow::Result<()> {
        sale.pay_in_time(api).await?.with_status(201).map(drop).context("a payment that needs no fraud check")
    }
}

/// Sends a payment that a service does not answer.
pub(super) async fn ends_in_time(api: &Api, sale: &Sale) -> anyhow::Result<()> {
    let reply = sale.pay_in_time(api).await?;
    if reply.status == 409 {
        return Ok(());
    }
    let reply = reply.with_status(503)?;
    ensure!(reply.headers.contains_key("retry-after"), "503 has no Retry-After");
    Ok(())
}

/// Drops the client whose payment is the trial call after an outage.
pub(super) async fn leave_trial(api: &Api, sale: &Sale) -> anyhow::Result<()> {
    let providers = api.providers()?;
    providers.hold("fraud", Point::BeforeEffect, 1).await?;
    providers.set_profile("fraud", &GOOD_DAY).await?;
    let tries = async {
        let start = Instant::now();
        while start.elapsed() < RECOVERY {
            let _ = sale.pay(api).await;
            tokio::time::sleep(PAUSE).await;
        }
    };
    // Whose call is held leaves in the middle of it: his request is dropped.
    tokio::select! {
        held = providers.held("fraud", 1) => drop(held?),
        () = tries => {}
    }
    providers.release("fraud", Release::Refuse).await
}
