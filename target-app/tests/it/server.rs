//! The process: how it starts, how it ends, and what it says when it cannot.

use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use crate::support::{TestServer, database};

#[tokio::test]
async fn both_signals_stop_it_gracefully() {
    let database = database().await;
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = TestServer::start(&database, &[]).await;
        // A request that is under way when the signal comes is answered.
        let request = server.get(&format!("/reports/orders/{}", server.heavy_user().await)).send();
        let request = tokio::spawn(request);
        while server.metric(r#"http_server_active_requests{http_request_method="GET"}"#).await < 1.0
            && !request.is_finished()
        {
            tokio::task::yield_now().await;
        }
        let pid = Pid::from_raw(server.child().id().unwrap() as i32).unwrap();
        // Whoever waits for the process lets go of this, which would end the server as well.
        let _lifeline = server.child().stdin.take();
        kill_process(pid, signal).unwrap();
        assert!(request.await.unwrap().unwrap().status().is_success(), "{signal:?}");
        assert!(server.child().wait().await.unwrap().success(), "{signal:?}");
    }
}

#[tokio::test]
async fn it_ends_with_the_process_that_started_it() {
    let mut server = TestServer::start(&database().await, &[]).await;
    drop(server.child().stdin.take());
    assert!(server.child().wait().await.unwrap().success());
}

const FREE: &[&str] = &["--listen", "127.0.0.1:0"];

async fn refused(url: &str, options: &[&str]) -> String {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_target-app"))
        .args(["--acquire-timeout-ms", "2000"])
        .args(options)
        .env("DATABASE_URL", url)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn what_it_cannot_use_is_named_with_the_remedy() {
    let database = database().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let url = database.url();

    let error = refused(&url, &["--listen", &address]).await;
    assert!(error.contains(&address) && error.contains("choose another"), "{error}");
    let error = refused("postgres://nobody@127.0.0.1:1/none", FREE).await;
    assert!(error.contains("DATABASE_URL"), "{error}");
    let error = refused("mysql://x", FREE).await;
    assert!(error.contains("postgres://"), "{error}");
    let error = refused(&url, &["--variant", "oversold-stok=fixed"]).await;
    assert!(error.contains("oversold-stok") && error.contains("did you mean oversold-stock"), "{error}");
    let error = refused(&url, &["--variant", "oversold-stock=row-lok"]).await;
    assert!(error.contains("did you mean row-lock"), "{error}");
    let error = refused(&url, &["--variant", "oversold-stock"]).await;
    assert!(error.contains("ID=NAME"), "{error}");
}
