//! Clients that keep their side of HTTP badly: none of them may keep the others out.

use std::fs;
use std::time::Duration;

use scratch_postgres::Database;
use sqlx::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use uuid::Uuid;

use crate::support::{TestServer, database, pool, skip, soon, text};

/// A connection on which this was sent.
async fn sent(server: &TestServer, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.ready().public).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// All that the server says until it closes the connection.
async fn heard(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    soon("the end of the connection", stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

const HALF: &str = "GET /health HTTP/1.1\r\nhost: ";

#[tokio::test]
async fn who_sends_half_a_request_gives_its_place_up() {
    let options = ["--head-timeout-ms", "200", "--max-connections", "2"];
    let server = TestServer::start(&database().await, &options).await;
    let halves = [sent(&server, HALF).await, sent(&server, HALF).await];
    assert_eq!(soon("an answer", server.json("/health")).await["status"], "ok");
    for half in halves {
        assert_eq!(heard(half).await, "");
    }
}

#[tokio::test]
async fn who_does_not_read_its_answer_gives_its_place_up() {
    if !cfg!(target_os = "linux") {
        return skip("who_does_not_read_its_answer_gives_its_place_up", "the system bounds no such silence");
    }
    let options = ["--head-timeout-ms", "500", "--max-connections", "1"];
    let server = TestServer::start(&database().await, &options).await;
    let request = "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
    // Answers to more requests than the buffers of both sides hold.
    let mut deaf = sent(&server, "").await;
    let refused = async { while deaf.write_all(request.as_bytes()).await.is_ok() {} };
    soon("the end of its connection", refused).await;
    assert_eq!(soon("an answer", server.json("/health")).await["status"], "ok");
}

#[tokio::test]
async fn connections_leave_files_for_the_database_and_for_operators() {
    let name = "connections_leave_files_for_the_database_and_for_operators";
    let database = database().await;
    let mut server = TestServer::start_with_files(&database, 140, &["--head-timeout-ms", "600000"]).await;
    let files = format!("/proc/{}/fd", server.child().id().unwrap());
    let Ok(before) = fs::read_dir(&files).map(Iterator::count) else {
        return skip(name, "this system does not list a process's files");
    };
    // Two that were there before: one keeps the only connection to the database that is made at the start.
    let (mut blocked, mut served) = (sent(&server, "").await, sent(&server, "").await);
    served.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    served.read_exact(&mut [0; 12]).await.unwrap();
    let mut holder = pool(&database).await.begin().await.unwrap();
    sqlx::query("LOCK TABLE products").execute(&mut *holder).await.unwrap();
    blocked.write_all(b"GET /products HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    soon("a request that waits", async {
        while server.metric(r#"http_server_active_requests{http_request_method="GET"}"#).await < 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let mut halves = Vec::new();
    // Too many for the files, and few enough for the queue of those who wait.
    for _ in 0..120 {
        halves.push(sent(&server, HALF).await);
    }
    let open = || fs::read_dir(&files).unwrap().count();
    soon("as many connections as there may be", async {
        while open() < before + 30 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(soon("the metrics", server.metrics()).await.contains("tokio_workers"));
    served.write_all(b"GET /users HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let answer = heard(served).await;
    assert!(answer.contains("HTTP/1.1 200"), "{answer}");
    holder.rollback().await.unwrap();
}

/// A POST whose body has 1,000 bytes, of which one comes.
fn unfinished(path: &str, headers: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nx-tenant-id: tenant-1\r\ncontent-type: application/json\r\n\
         content-length: 1000\r\n{headers}\r\n{{"
    )
}

#[tokio::test]
async fn a_body_that_stalls_is_the_clients_fault() {
    let server = TestServer::start(&database().await, &["--request-timeout-ms", "200"]).await;
    let answer = heard(sent(&server, &unfinished("/orders/checkout", "")).await).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    for part in ["application/problem+json", "connection: close", "not complete after 200 ms"] {
        assert!(answer.contains(part), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_the_connection_says_so() {
    let server = TestServer::start(&database().await, &["--body-limit", "1000000"]).await;
    let plain = unfinished("/orders/checkout", "").replace("application/json", "text/plain");
    let refused = [
        (plain, "415"),
        (unfinished("/orders/checkout", "content-encoding: gzip\r\n"), "415"),
        (unfinished("/nowhere", ""), "404"),
        (unfinished("/products", ""), "405"),
        (unfinished("/orders/checkout", "").replace("1000", "2000000"), "413"),
    ];
    for (request, status) in refused {
        let answer = heard(sent(&server, &request).await).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{request}: {answer}");
    }
    // What was read to its end leaves room for the next request, however it was answered.
    for request in [server.get("/health"), server.post("/orders/checkout").json(&"no cart")] {
        assert!(!request.send().await.unwrap().headers().contains_key("connection"));
    }
}

#[tokio::test]
async fn an_encoded_body_is_refused_by_its_header() {
    let server = TestServer::start(&database().await, &[]).await;
    let cases =
        [("gzip", 415), ("identity, br", 415), ("", 415), ("identity", 422), ("Identity, identity", 422)];
    for (coding, status) in cases {
        let request = server.post("/orders/checkout").header("content-encoding", coding).json(&"no cart");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{coding}");
        if status == 415 {
            assert_eq!(answer.headers()["accept-encoding"], "identity");
            assert!(answer.text().await.unwrap().contains("Content-Encoding"));
        }
    }
}

/// Ends the app's sessions in the database that this condition names, and says how many there were.
async fn terminate(database: &Database, which: &str) -> i64 {
    let mut admin = sqlx::PgConnection::connect_with(&database.connect_options()).await.unwrap();
    let sql = format!(
        "SELECT count(*) FROM (SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'target-app' AND {which}) AS ended"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut admin).await.unwrap()
}

#[tokio::test]
async fn a_session_that_was_ended_is_worth_another_try() {
    let database = database().await;
    let server = TestServer::start(&database, &[]).await;
    let user = server.heavy_user().await;
    let product = text(&server.json("/products?limit=1").await["products"][0]["id"]);
    let mut holder = pool(&database).await.begin().await.unwrap();
    let lock = "SELECT FROM products WHERE id = $1 FOR NO KEY UPDATE";
    sqlx::query(lock).bind(product.parse::<Uuid>().unwrap()).execute(&mut *holder).await.unwrap();

    let buying = tokio::spawn(server.checkout(&user, &[(&product, 1)]).send());
    while terminate(&database, "cardinality(pg_blocking_pids(pid)) > 0").await == 0 {
        tokio::task::yield_now().await;
    }
    let answer = buying.await.unwrap().unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert!(answer.text().await.unwrap().contains("the database is not there"));
    holder.rollback().await.unwrap();

    // Those that were idle are found broken by whoever gets them next.
    assert!(terminate(&database, "state = 'idle'").await > 0);
    loop {
        match server.get("/products").send().await.unwrap().status().as_u16() {
            200 => break,
            status => assert_eq!(status, 503),
        }
    }
}

#[tokio::test]
async fn a_server_whose_pool_is_used_up_is_ready() {
    let database = database().await;
    let options = ["--pool-size", "1", "--acquire-timeout-ms", "200"];
    let server = TestServer::start(&database, &options).await;
    let mut holder = pool(&database).await.begin().await.unwrap();
    sqlx::query("LOCK TABLE products").execute(&mut *holder).await.unwrap();
    let reading = tokio::spawn(server.get("/products").send());
    while server.metric(r#"db_client_connections{state="used"}"#).await < 1.0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        assert_eq!(server.operator("/ready").await.status(), 200);
    }
    holder.rollback().await.unwrap();
    reading.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_database_may_have_an_address_of_ipv6() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        return skip("a_database_may_have_an_address_of_ipv6", "this machine has no ::1");
    };
    let database = database().await;
    let options = database.connect_options();
    let target = format!("{}:{}", options.get_host(), options.get_port());
    let url = database.url().replace(&target, &listener.local_addr().unwrap().to_string());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let target = target.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(target).await.unwrap();
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    for options in [[].as_slice(), &["--db-rtt", "1ms"]] {
        TestServer::start_at(&url, options).await;
    }
}

#[tokio::test]
async fn a_database_that_falls_silent_is_not_ready_until_it_speaks_again() {
    let database = database().await;
    let address = (database.connect_options().get_host().to_owned(), database.connect_options().get_port());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (silence, silent) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (address, mut silent) = (address.clone(), silent.clone());
            tokio::spawn(async move {
                let mut server = TcpStream::connect(address).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
                    _ = silent.wait_for(|silent| *silent) => {}
                }
                // Open, and without a word, for ever.
                std::future::pending::<()>().await;
            });
        }
    });
    let url =
        database.url().replace(&format!(":{}/", database.connect_options().get_port()), &format!(":{port}/"));
    let server = TestServer::start_at(&url, &[]).await;
    assert_eq!(server.operator("/ready").await.status(), 200);
    silence.send(true).unwrap();
    for _ in 0..2 {
        let answer = soon("that it is not ready", server.operator("/ready")).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (503, &"1".parse().unwrap())
        );
    }
    silence.send(false).unwrap();
    assert_eq!(soon("that it is ready", server.operator("/ready")).await.status(), 200);
}

/// The connection to the database must not come back within it.
#[tokio::test]
async fn a_client_that_leaves_while_a_transaction_begins_leaves_none_behind() {
    let database = database().await;
    let server = TestServer::start(&database, &["--db-rtt", "300ms", "--pool-size", "1"]).await;
    let user = server.heavy_user().await;
    let products = server.json("/products").await;
    // After its last use, the connection takes an exchange to come back.
    soon("an idle connection", async {
        while server.metric(r#"db_client_connections{state="idle"}"#).await < 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let buying = server.checkout(&user, &[(&text(&products["products"][0]["id"]), 1)]).send();
    // The transaction begins with the request, and takes longer than the buyer's patience.
    assert!(tokio::time::timeout(Duration::from_millis(100), buying).await.is_err());
    server.json("/products").await;
    let open: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'target-app' AND state LIKE 'idle in transaction%'",
    )
    .fetch_one(&pool(&database).await)
    .await
    .unwrap();
    assert_eq!(open, 0, "a transaction is open that no request works in");
}
