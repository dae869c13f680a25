//! A server that does nothing but answer `/health`, to find out what the generator can do at most.
//!
//! `cargo run --release -p loadtests --example bare_health -- 8099`, and then `--example load_rate` against it.
use axum::{Router, routing::get};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).as_deref().unwrap_or("8099").parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, Router::new().route("/health", get(|| async { "ok" }))).await?;
    Ok(())
}
