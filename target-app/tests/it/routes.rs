//! The public API: what clients of the systems before this one rely on, and what bad input gets.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{self, TestServer, database, text};

async fn server() -> TestServer {
    TestServer::start(&database().await, &[]).await
}

#[tokio::test]
async fn products_come_in_pages() {
    let server = server().await;
    let page = server.json("/products?page=2&limit=30").await;
    assert_eq!(page["pagination"], json!({ "page": 2, "limit": 30, "total": 100, "pages": 4 }));
    let products = page["products"].as_array().unwrap();
    assert_eq!(products.len(), 30);
    let product = &products[0];
    assert!(
        product["price"].is_number() && product["inventory"].is_i64() && product["createdAt"].is_string()
    );
    assert_eq!(&server.json(&format!("/products/{}", text(&product["id"]))).await, product);

    assert_eq!(server.json("/products?page=4&limit=30").await["products"].as_array().unwrap().len(), 10);
    assert_eq!(server.json("/products?page=5&limit=30").await["products"], json!([]));
}

#[tokio::test]
async fn the_seeded_data_is_what_the_documents_promise() {
    let server = server().await;
    let products = server.json("/products?page=1&limit=100").await["products"].as_array().unwrap().clone();
    assert_eq!(products.iter().filter(|product| product["description"].is_null()).count(), 20);
    assert!(products[..10].iter().all(|product| (1..=3).contains(&product["inventory"].as_i64().unwrap())));
    assert_eq!(server.json("/users").await.as_array().unwrap().len(), 30);
    assert_eq!(server.json("/admin/inventory/low?threshold=3").await.as_array().unwrap().len(), 10);

    let orders =
        server.json(&format!("/orders/{}", server.heavy_user().await)).await.as_array().unwrap().clone();
    assert_eq!(orders.len(), 120);
    assert!(orders.iter().all(|order| (2..=5).contains(&order["items"].as_array().unwrap().len())));
    assert!(orders.windows(2).all(|pair| text(&pair[0]["createdAt"]) >= text(&pair[1]["createdAt"])));
}

#[tokio::test]
async fn a_report_is_a_pdf() {
    let server = server().await;
    let answer = server.get(&format!("/reports/orders/{}", server.heavy_user().await)).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/pdf");
    assert!(answer.bytes().await.unwrap().starts_with(b"%PDF-"));
}

#[tokio::test]
async fn a_tenant_sees_its_own_restaurants_only() {
    let server = server().await;
    let restaurant = server.restaurants().await[0].clone();
    for path in ["menu", "orders", "analytics"] {
        let path = format!("/restaurants/{restaurant}/{path}");
        let ask = async |tenant: Option<&str>| {
            let request = server.get(&path);
            let request = match tenant {
                Some(tenant) => request.header("X-Tenant-ID", tenant),
                None => request,
            };
            request.send().await.unwrap().status()
        };
        assert_eq!(ask(Some("tenant-1")).await, StatusCode::OK, "{path}");
        assert_eq!(ask(Some("tenant-2")).await, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(ask(None).await, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(ask(Some("")).await, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn meals_are_placed_on_the_menu() {
    let server = server().await;
    let restaurant = server.restaurants().await[0].clone();
    let post = async |path: &str, body: Value, status: StatusCode| {
        let path = format!("/restaurants/{restaurant}/{path}");
        let request = server.post(&path).header("X-Tenant-ID", "tenant-1").json(&body);
        support::json(request.send().await.unwrap(), status).await
    };
    let dish = json!({ "name": "Test pie", "price": 12.5, "inventory": 3 });
    let id = text(&post("menu", dish.clone(), StatusCode::CREATED).await["id"]);
    post("menu", dish, StatusCode::CONFLICT).await;
    post("menu", json!({ "name": "", "price": -1, "inventory": -1 }), StatusCode::UNPROCESSABLE_ENTITY).await;

    let meal = |quantity: i32| json!({ "items": [{ "menuItemId": id, "quantity": quantity }] });
    let placed = post("orders", meal(2), StatusCode::CREATED).await;
    assert_eq!((&placed["total"], &placed["notificationSentAt"]), (&json!(25.0), &Value::Null));
    post("orders", meal(2), StatusCode::CONFLICT).await;
    let newest = &server.json(&format!("/restaurants/{restaurant}/orders")).await["orders"][0];
    assert_eq!(newest, &placed);
}

#[tokio::test]
async fn bad_input_gets_problem_details_that_name_the_thing() {
    let server = server().await;
    let user = server.heavy_user().await;
    let product = text(&server.json("/products?limit=1").await["products"][0]["id"]);
    let nobody = uuid::Uuid::now_v7().to_string();
    let cart = |user: &str, items: Value| json!({ "userId": user, "items": items }).to_string();
    let line = |product: &str, quantity: Value| json!({ "productId": product, "quantity": quantity });
    let checkout = |body: String, status: u16, names: &'static str| {
        (Method::POST, "/orders/checkout".to_owned(), body, status, names)
    };
    let get = |path: &str, status: u16, names: &'static str| {
        (Method::GET, path.to_owned(), String::new(), status, names)
    };

    let cases = [
        checkout("{".into(), 400, "JSON"),
        checkout("".into(), 400, "JSON"),
        checkout(r#"{"x": "#.to_owned() + &"[".repeat(100_000), 400, "JSON"),
        checkout(r#"{"userId": "\ud800"}"#.into(), 400, "hex escape"),
        checkout(format!(r#"{{"userId": "{user}", "userId": "{user}", "items": []}}"#), 422, "duplicate"),
        checkout("[]".into(), 422, "Cart"),
        checkout("{}".into(), 422, "userId"),
        checkout(cart("nobody", json!([])), 422, "userId"),
        checkout(cart(&user, json!([])), 422, "items"),
        checkout(cart(&user, json!("one")), 422, "items"),
        checkout(cart(&user, json!([line(&product, json!(0))])), 422, "quantity"),
        checkout(cart(&user, json!([line(&product, json!(-1))])), 422, "quantity"),
        checkout(cart(&user, json!([line(&product, json!(1_000_000_000_000_000_000_i64))])), 422, "quantity"),
        checkout(cart(&user, json!([line(&product, json!(1.5))])), 422, "quantity"),
        checkout(cart(&user, json!([line(&product, json!("1"))])), 422, "quantity"),
        checkout(cart(&user, json!([line(&product, json!(1)), line(&product, json!(1))])), 422, "twice"),
        checkout(cart(&user, json!([line(&nobody, json!(1))])), 422, "product"),
        checkout(cart(&nobody, json!([line(&product, json!(1))])), 422, "user"),
        checkout(cart(&user, json!([line(&product, json!(1000))])), 409, "stock"),
        checkout(cart(&user, Value::Array(vec![line(&product, json!(1)); 101])), 422, "items"),
        get("/products?page=0", 422, "page"),
        get("/products?page=-1", 422, "page"),
        get("/products?limit=1000000000", 422, "limit"),
        get("/products?limit=9223372036854775807", 422, "limit"),
        get("/products?page=x", 400, "page"),
        get("/admin/inventory/low?threshold=-1", 422, "threshold"),
        get(&format!("/products/{nobody}"), 404, "product"),
        get("/products/one", 404, "UUID"),
        get(&format!("/orders/{nobody}"), 404, "user"),
        get(&format!("/reports/orders/{nobody}"), 404, "user"),
        get("/products/%ff", 404, "UTF-8"),
        get("/products?page=1&page=2", 400, "page"),
        get("/users?email=%00", 422, "NUL"),
        get("/nowhere", 404, "/nowhere"),
        get("/orders/checkout", 405, "GET"),
        (Method::DELETE, "/products".into(), String::new(), 405, "DELETE"),
    ];
    for (method, path, body, status, names) in cases {
        let request = match method {
            Method::GET => server.get(&path),
            Method::DELETE => {
                reqwest::Client::new().delete(format!("http://{}{path}", server.ready().public))
            }
            _ => server.post(&path),
        };
        let sent = if method == Method::POST {
            request.header("content-type", "application/json").body(body.clone())
        } else {
            request
        };
        let answer = sent.send().await.unwrap();
        let case = format!("{method} {path} {body:.200}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{case}");
        let problem = support::json(answer, StatusCode::from_u16(status).unwrap()).await;
        assert_eq!(problem["status"], status, "{case}");
        assert_eq!(problem["detail"], problem["error"], "{case}");
        let error = text(&problem["error"]);
        assert!(error.contains(names), "{case}: {error}");
        for word in ["sqlx", "SELECT", "constraint", "postgres", "panicked"] {
            assert!(!error.contains(word), "{case}: {error}");
        }
    }
}

#[tokio::test]
async fn what_a_column_cannot_hold_is_the_clients_fault() {
    let server = server().await;
    let restaurant = server.restaurants().await[0].clone();
    let post = async |path: &str, body: String, status: u16| {
        let path = format!("/restaurants/{restaurant}/{path}");
        let request = server.post(&path).header("X-Tenant-ID", "tenant-1");
        let answer =
            request.header("content-type", "application/json").body(body.clone()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path} {body}");
        answer.json::<Value>().await.unwrap()
    };
    let dish = |name: &str, price: &str, inventory: &str| {
        format!(r#"{{"name": "{name}", "price": {price}, "inventory": {inventory}}}"#)
    };
    for body in [
        dish("a\\u0000b", "1", "1"),
        dish("pie", "1e308", "1"),
        dish("pie", "1000000.01", "1"),
        dish("pie", "1", "2147483648"),
    ] {
        post("menu", body, 422).await;
    }
    post("menu", dish("pie", "1e400", "1"), 400).await;

    // The largest order of the dearest dishes: its total must not overflow.
    let mut lines = Vec::new();
    for n in 0..50 {
        let added = post("menu", dish(&format!("caviar {n}"), "1000000", "1000"), 201).await;
        lines.push(json!({ "menuItemId": added["id"], "quantity": 1000 }));
    }
    let placed = post("orders", json!({ "items": lines }).to_string(), 201).await;
    assert_eq!(placed["total"], json!(5e10));
    server.json(&format!("/restaurants/{restaurant}/analytics")).await;
    server.json(&format!("/restaurants/{restaurant}/orders")).await;
}

#[tokio::test]
async fn a_tenant_that_is_no_text_is_none() {
    let server = server().await;
    let tenant = reqwest::header::HeaderValue::from_bytes(b"tenant-\xff").unwrap();
    let answer = server.get("/restaurants").header("X-Tenant-ID", tenant).send().await.unwrap();
    support::json(answer, StatusCode::BAD_REQUEST).await;
}

/// The status of the answer to a request that is sent as it is.
async fn raw(server: &TestServer, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.ready().public).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may have answered and closed before it was all sent.
    let _ = stream.write_all(body).await;
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_of_unknown_length_is_cut_off_at_the_limit() {
    let server = server().await;
    let head = "POST /orders/checkout HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = [b"100000\r\n".as_slice(), &[b' '; 0x100000], b"\r\n"].concat();
    // One byte more than the limit of 1 MiB decides.
    assert_eq!(raw(&server, head, &[&chunk[..], b"1\r\n \r\n"].concat()).await, "HTTP/1.1 413");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_body_disturbs_nobody() {
    let server = server().await;
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.ready().public).await.unwrap();
        let head = "POST /orders/checkout HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.unwrap();
    }
    server.json("/products").await;
}

#[tokio::test]
async fn methods_without_a_handler_are_answered() {
    let server = server().await;
    let head = |method: &str| format!("{method} /products HTTP/1.1\r\nhost: x\r\n\r\n");
    for (method, status) in [("HEAD", "200"), ("OPTIONS", "405"), ("TRACE", "405"), ("BREW", "405")] {
        assert_eq!(raw(&server, &head(method), &[]).await, format!("HTTP/1.1 {status}"), "{method}");
    }
}

#[tokio::test]
async fn a_body_of_100_mb_is_refused_before_it_is_read() {
    let server = server().await;
    let head = "POST /orders/checkout HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 104857600\r\n\r\n";
    assert_eq!(raw(&server, head, &[]).await, "HTTP/1.1 413");
}

#[tokio::test]
async fn the_openapi_document_lists_every_route() {
    let server = server().await;
    let document = server.json("/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    for exercise in target_app::catalogue::EXERCISES {
        for route in exercise.routes {
            let (method, path) = route.split_once(' ').unwrap();
            assert!(paths.get(path).is_some_and(|path| path.get(method.to_lowercase()).is_some()), "{route}");
        }
    }
}

#[tokio::test]
async fn the_operator_port_is_not_public() {
    let server = server().await;
    assert_eq!(server.get("/metrics").send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert!(server.metrics().await.contains("stampede_run_info"));
}
