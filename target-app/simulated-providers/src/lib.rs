#![doc = include_str!("../README.md")]

mod callbacks;
mod gate;
mod ledger;
mod operator;
mod profile;
mod routes;
mod service;
mod services;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

pub use self::callbacks::signature;
pub use self::gate::{Point, Release};
pub use self::ledger::Entry;
pub use self::operator::{Close, Open};
pub use self::profile::{Fate, LONGEST_MS, Plan, Profile, ProfileError};
pub use self::routes::{Charge, FraudCheck, Message, Shipment};
pub use self::service::Status;
use self::service::{Metrics, Service};
use self::services::Services;

/// How the services are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where clients come; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the operator comes, likewise.
    pub operator_listen: SocketAddr,
    /// Seeds what happens to each request.
    pub seed: u64,
    /// Signs the callbacks.
    pub secret: Vec<u8>,
}

/// Services that answer until this is dropped.
#[derive(Debug)]
pub struct Providers {
    /// Where clients come.
    pub address: SocketAddr,
    /// Where the operator comes.
    pub operator: SocketAddr,
    listeners: [AbortHandle; 2],
}

impl Providers {
    /// Starts them on this runtime.
    ///
    /// # Errors
    /// When an address cannot be had.
    pub async fn start(options: &Options) -> io::Result<Self> {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).map_err(io::Error::other)?;
        let service = |name| Service::new(name, options.seed, metrics.clone());
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build();
        let callback = service("callbacks");
        let services = Arc::new(Services {
            payments: service("payments"),
            fraud: service("fraud"),
            mail: service("mail"),
            carrier: service("carrier"),
            callbacks: callbacks::Callbacks::new(
                callback.clone(),
                client.map_err(io::Error::other)?,
                &options.secret,
            ),
            callback,
            registry,
        });
        let public = TcpListener::bind(options.listen).await?;
        let operator = TcpListener::bind(options.operator_listen).await?;
        let (address, operator_address) = (public.local_addr()?, operator.local_addr()?);
        let serve = |listener, router: axum::Router| {
            tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle()
        };
        let listeners =
            [serve(public, routes::router(services.clone())), serve(operator, operator::router(services))];
        Ok(Providers { address, operator: operator_address, listeners })
    }
}

impl Drop for Providers {
    fn drop(&mut self) {
        self.listeners.iter().for_each(AbortHandle::abort);
    }
}
