//! What is done when the load is over, each at a moment that is forced: crowds with one key, clicks during a charge, and customers who leave.

use std::time::Duration;

use anyhow::{Context, ensure};
use simulated_providers::{Point, Release};

use super::{Attempt, Round};
use crate::api::{Api, Reply};
use crate::checks::crowds;

/// What is in the way of a crowd that comes with one key, so that all of it is under way before any can go on.
pub(super) const CROWDS: [&str; 2] =
    ["LOCK TABLE idempotency_keys", "SELECT FROM products FOR NO KEY UPDATE"];

/// Time for a crowd to queue up behind the request that is charging.
const SETTLES: Duration = Duration::from_millis(100);

/// How long to wait for the second click to be charged or answered. After that, it waits for the first one.
const JOINS: Duration = Duration::from_millis(300);

impl Round {
    /// Has crowds come with one key each, while something is in the way, and somebody else with another key while the crowd's charge is held.
    pub(super) async fn crowds(
        &self,
        api: &Api,
        crowds: &[Attempt],
        beside: &[Attempt],
    ) -> anyhow::Result<()> {
        let providers = api.providers()?;
        for ((attempt, other), lock) in crowds.iter().zip(beside).zip(CROWDS) {
            let click = async |_| match attempt.send(api).await {
                Ok(reply) if matches!(reply.status.as_u16(), 201 | 409 | 503) => Ok(()),
                Ok(reply) => reply.with_status(201).map(drop),
                Err(error) => Err(error),
            };
            providers.hold("payments", Point::BeforeEffect, 1).await?;
            let crowd = crowds::all_at_once(api, Some(lock), click);
            let meanwhile = async {
                providers.held("payments", 1).await?;
                tokio::time::sleep(SETTLES).await;
                let completed = self.complete_at_once(api, other).await;
                let waited = providers.held("payments", 0).await? == 0;
                providers.release("payments", Release::Continue).await?;
                completed?;
                ensure!(!waited, "another checkout had to wait until the crowd's charge was given up");
                Ok(())
            };
            futures::try_join!(crowd, meanwhile).context("a crowd sent one key at one moment")?;
        }
        Ok(())
    }

    /// Sends a checkout that nothing is in the way of.
    pub(super) async fn complete_at_once(&self, api: &Api, attempt: &Attempt) -> anyhow::Result<()> {
        let reply = attempt.send(api).await?.with_status(201).context("another checkout at that moment")?;
        self.answered(attempt, 201, &reply.body);
        Ok(())
    }

    /// Retries each abandoned checkout at its own server, more often than the pool has connections. This exposes code that finds the response only
    /// on the connection of the request that was dropped.
    pub(super) async fn come_back(&self, api: &Api, left: &[Attempt]) -> anyhow::Result<()> {
        let back = left.iter().enumerate().map(async |(replica, attempt)| {
            let server = api.only(replica)?;
            self.complete(&server, attempt).await?;
            for _ in 0..=crowds::CONNECTIONS {
                self.replay_one(&server, attempt).await?;
            }
            anyhow::Ok(())
        });
        let back: Vec<_> = back.collect();
        futures::future::try_join_all(back).await.context("somebody left during the charge and came back")?;
        Ok(())
    }

    /// Sends a checkout twice, the second time while the first one's charge is under way.
    pub(super) async fn two_at_once(&self, api: &Api, attempt: &Attempt) -> anyhow::Result<()> {
        let providers = api.providers()?;
        providers.hold("payments", Point::BeforeEffect, 2).await?;
        let second = async {
            providers.held("payments", 1).await?;
            let both_held = async {
                tokio::select! {
                    held = providers.held("payments", 2) => held.map(drop),
                    () = tokio::time::sleep(JOINS) => Ok(()),
                }
            };
            let mut answer = Box::pin(attempt.send(api));
            let answered = tokio::select! {
                answer = &mut answer => Some(answer?),
                held = both_held => { held?; None }
            };
            providers.release("payments", Release::Continue).await?;
            match answered {
                Some(answer) => Ok(answer),
                None => answer.await,
            }
        };
        for reply in <[Reply; 2]>::from(futures::try_join!(attempt.send(api), second)?) {
            match reply.status.as_u16() {
                402 | 409 | 503 => {}
                _ => return reply.with_status(402).map(drop),
            }
        }
        Ok(())
    }
}

/// Has a customer of each server leave while the card is charged.
pub(super) async fn leave(api: &Api, left: &[Attempt]) -> anyhow::Result<()> {
    let providers = api.providers()?;
    for (replica, attempt) in left.iter().enumerate() {
        let server = api.only(replica)?;
        providers.hold("payments", Point::AfterEffect, 1).await?;
        tokio::select! {
            held = providers.held("payments", 1) => { held?; }
            _ = attempt.send(&server) => {}
        }
        providers.release("payments", Release::Continue).await?;
    }
    Ok(())
}
