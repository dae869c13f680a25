//! Scenarios and rounds of whatever type, for those who run one after another.

use futures::FutureExt;
use futures::future::BoxFuture;
use rand_pcg::Pcg64;

use super::{Clause, Round, Scenario, Shape, Spec};
use crate::api::Api;
use crate::checks::{Audit, Findings};
use crate::faults::Fault;
use crate::load::{Answer, Load, Outcome, Request, Ticket, Timeline};

/// A round and its schedule.
pub type Prepared = (Box<dyn AnyRound>, Vec<Ticket>);

/// A [`Scenario`] of any type; every one is.
pub trait AnyScenario: Sync {
    /// See [`Scenario::SPEC`].
    fn spec(&self) -> &'static Spec;

    /// See [`Scenario::contract`].
    fn contract<'a>(&self, api: &'a Api, clause: &'a mut Clause) -> BoxFuture<'a, anyhow::Result<()>>;

    /// See [`Scenario::prepare`].
    fn prepare<'a>(
        &self,
        api: &'a Api,
        shape: &'a Shape,
        rng: Pcg64,
    ) -> BoxFuture<'a, anyhow::Result<Prepared>>;

    /// See [`Scenario::objectives`].
    fn objectives(&self, load: &Load) -> Findings;
}

impl<S: Scenario> AnyScenario for S {
    fn spec(&self) -> &'static Spec {
        S::SPEC
    }

    fn contract<'a>(&self, api: &'a Api, clause: &'a mut Clause) -> BoxFuture<'a, anyhow::Result<()>> {
        S::contract(api, clause).boxed()
    }

    fn prepare<'a>(
        &self,
        api: &'a Api,
        shape: &'a Shape,
        rng: Pcg64,
    ) -> BoxFuture<'a, anyhow::Result<Prepared>> {
        async move {
            let (round, tickets) = S::prepare(api, shape, rng).await?;
            Ok((Box::new(round) as Box<dyn AnyRound>, tickets))
        }
        .boxed()
    }

    fn objectives(&self, load: &Load) -> Findings {
        S::objectives(load)
    }
}

/// A [`Round`] of any type; every one is.
pub trait AnyRound: Send + Sync {
    /// See [`Round::describe`].
    fn describe(&self, servers: &str) -> String;

    /// See [`Round::faults`].
    fn faults(&self) -> Vec<Fault>;

    /// See [`Round::beside`].
    fn beside<'a>(&'a self, api: &'a Api, timeline: &'a Timeline) -> BoxFuture<'a, ()>;

    /// See [`Round::judge`].
    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome;

    /// See [`Round::audit`].
    fn audit<'a>(&'a self, api: &'a Api, load: &'a Load) -> BoxFuture<'a, anyhow::Result<Audit>>;
}

impl<R: Round> AnyRound for R {
    fn describe(&self, servers: &str) -> String {
        Round::describe(self, servers)
    }

    fn faults(&self) -> Vec<Fault> {
        Round::faults(self)
    }

    fn beside<'a>(&'a self, api: &'a Api, timeline: &'a Timeline) -> BoxFuture<'a, ()> {
        Round::beside(self, api, timeline).boxed()
    }

    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome {
        Round::judge(self, request, answer)
    }

    fn audit<'a>(&'a self, api: &'a Api, load: &'a Load) -> BoxFuture<'a, anyhow::Result<Audit>> {
        Round::audit(self, api, load).boxed()
    }
}
