//! Takes connections in: no more than there are files for, and none that never asks for anything or never reads an answer.
//!
//! `axum::serve` bounds neither. Clients that open connections and send half a request would stay for ever, until no file
//! is left, and then nobody gets in and the pool cannot reach the database.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What connections are allowed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At a time. The next ones wait in the system's queue until one of these ends, and each does that falls
    /// silent.
    pub connections: usize,
    /// From the connection's beginning, or from the last answer, to the end of the next request's head. An answer may stay
    /// unread for as long.
    pub head: Duration,
}

/// Serves `router` until `stopped` ends; then the requests in flight are answered, and this returns. A client that leaves
/// takes the future of its handler along.
pub async fn serve(
    mut listener: TcpListener,
    router: Router,
    limits: Limits,
    stopped: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head);
    let service = TowerToHyperService::new(router);
    tokio::pin!(stopped);
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await.expect("nobody closes it");
            // axum's: an error of one connection is skipped, and one of the system waited out.
            (Listener::accept(&mut listener).await.0, slot)
        };
        let (stream, slot) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stopped => break,
        };
        // An answer is written at once or in large pieces. Waiting for more to send with it can only delay it.
        let _ = stream.set_nodelay(true);
        // A client that does not read its answer would keep its place as well. Only the system sees that.
        #[cfg(target_os = "linux")]
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, limits.head.as_millis() as u32);
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
        tokio::spawn(async move {
            // How a client ends its connection is its own affair.
            let _ = connection.await;
            drop(slot);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}
