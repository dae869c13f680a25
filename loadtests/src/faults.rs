//! What goes wrong on purpose while a load runs, at moments that the scenario's seed decides.

use std::time::Duration;

use anyhow::Context;
use simulated_providers::Profile;

use crate::api::Api;
use crate::lab::Replicas;
use crate::load::Timeline;

/// Something that goes wrong at a moment of a load.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// When, from the start of the load.
    pub at: Duration,
    /// How long.
    pub lasts: Duration,
    /// What.
    pub what: Trouble,
}

/// What can go wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// The server with this number is killed, as by `kill -9`, and is started again with the same address when the time is over.
    Killed(usize),
    /// PostgreSQL ends all sessions at once and starts again. It takes as long as it takes.
    PostgresRestarted,
    /// A simulated provider behaves like this, and as before when the time is over. The first words say how: `the fraud check is slow`.
    Provider(&'static str, &'static str, Profile),
}

impl Trouble {
    fn words(&self) -> String {
        match self {
            Trouble::Killed(server) => format!("server {} is killed", server + 1),
            Trouble::PostgresRestarted => "PostgreSQL is restarted".into(),
            Trouble::Provider(words, ..) => (*words).into(),
        }
    }

    fn target(&self) -> Option<usize> {
        match self {
            Trouble::Killed(server) => Some(*server),
            Trouble::PostgresRestarted | Trouble::Provider(..) => None,
        }
    }
}

/// Whether this can go wrong here: a PostgreSQL that others use as well is not restarted.
pub fn is_possible(fault: &Fault, api: &Api) -> bool {
    let replicas = api.replicas();
    match fault.what {
        Trouble::Killed(_) => replicas.is_some(),
        Trouble::PostgresRestarted => replicas.is_some_and(Replicas::can_restart_postgres),
        Trouble::Provider(..) => api.providers().is_ok(),
    }
}

/// Triggers all faults at their times, independently of each other, and waits until they are over.
///
/// # Errors
/// When a server that was killed does not start again, or the providers are gone.
pub async fn inject(faults: &[Fault], api: &Api, timeline: &Timeline) -> anyhow::Result<()> {
    let all = faults.iter().map(async |Fault { at, lasts, what }| {
        timeline.at(*at).await;
        let lasting = async {
            match what {
                Trouble::Killed(server) => {
                    let replicas = api.replicas().context("a foreign server cannot be killed")?;
                    replicas.kill(*server).await;
                    tokio::time::sleep(*lasts).await;
                    replicas.start(*server, &[]).await
                }
                Trouble::PostgresRestarted => {
                    let replicas =
                        api.replicas().context("a foreign server's database cannot be restarted")?;
                    replicas.restart_postgres().await
                }
                Trouble::Provider(_, service, profile) => {
                    let providers = api.providers()?;
                    let before = providers.profile(service).await?;
                    providers.set_profile(service, profile).await?;
                    tokio::time::sleep(*lasts).await;
                    providers.set_profile(service, &before).await
                }
            }
        };
        timeline.incident(&what.words(), what.target(), lasting).await
    });
    futures::future::try_join_all(all).await.map(drop)
}
