//! The public API: what clients of the systems before this one rely on, and what bad input gets.

use std::collections::BTreeSet;

use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{self, Outside, TestServer, database, payment, pending_orders, text};

async fn server() -> TestServer {
    TestServer::start(&database().await, &[]).await
}

#[tokio::test]
async fn products_come_in_pages() {
    let server = server().await;
    let page = server.json("/products?page=2&limit=30").await;
    assert_eq!(page["pagination"], json!({ "page": 2, "limit": 30, "total": 105, "pages": 4 }));
    let products = page["products"].as_array().unwrap();
    assert_eq!(products.len(), 30);
    let product = &products[0];
    assert!(
        product["price"].is_number() && product["inventory"].is_i64() && product["createdAt"].is_string()
    );
    assert_eq!(&server.json(&format!("/products/{}", text(&product["id"]))).await, product);

    assert_eq!(server.json("/products?page=4&limit=30").await["products"].as_array().unwrap().len(), 15);
    assert_eq!(server.json("/products?page=5&limit=30").await["products"], json!([]));
}

#[tokio::test]
async fn the_seeded_data_is_what_the_documents_promise() {
    let server = server().await;
    let products = server.json("/products?page=1&limit=100").await["products"].as_array().unwrap().clone();
    assert_eq!(products.iter().filter(|product| product["description"].is_null()).count(), 20);
    assert!(products[..10].iter().all(|product| (1..=3).contains(&product["inventory"].as_i64().unwrap())));
    assert_eq!(server.json("/users").await.as_array().unwrap().len(), 31);
    assert_eq!(server.json("/admin/inventory/low?threshold=3").await.as_array().unwrap().len(), 10);

    let orders =
        server.json(&format!("/orders/{}", server.heavy_user().await)).await.as_array().unwrap().clone();
    assert_eq!(orders.len(), 120);
    assert!(orders.iter().all(|order| (2..=5).contains(&order["items"].as_array().unwrap().len())));
    assert!(orders.windows(2).all(|pair| text(&pair[0]["createdAt"]) >= text(&pair[1]["createdAt"])));
}

/// Each would let one kind of careless code pass, if it were missing.
#[tokio::test]
async fn the_seeded_data_punishes_shortcuts() {
    let database = database().await;
    let pool = support::pool(&database).await;
    let count = async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.unwrap();
    for sql in [
        "SELECT count(*) FROM orders WHERE status = 'cancelled'",
        "SELECT count(*) FROM restaurant_orders WHERE status = 'cancelled'",
        "SELECT count(*) FROM order_items JOIN products ON id = product_id WHERE unit_price_cents <> price_cents",
        "SELECT count(*) FROM restaurant_order_items JOIN menu_items ON id = menu_item_id WHERE unit_price_cents <> price_cents",
        "SELECT count(*) FROM orders AS one JOIN orders AS other USING (user_id, created_at) WHERE one.id < other.id",
        "SELECT count(*) FROM orders AS one JOIN orders AS other USING (user_id) WHERE one.created_at < other.created_at AND one.id > other.id",
        "SELECT count(*) FROM users WHERE NOT EXISTS (SELECT FROM orders WHERE user_id = users.id)",
        "SELECT count(*) FROM restaurants WHERE NOT EXISTS (SELECT FROM restaurant_orders WHERE restaurant_id = restaurants.id)",
        "SELECT count(*) FROM products WHERE price_cents * stock > 4294967296",
        "SELECT count(*) FROM products WHERE price_cents = 0",
        "SELECT count(*) FROM products WHERE name LIKE '%\\\\ & <b>%'",
        "SELECT count(*) FROM products AS one JOIN products AS other USING (name) WHERE one.id < other.id",
        "SELECT count(*) FROM tenants AS one JOIN tenants AS other USING (name) WHERE one.id < other.id",
        "SELECT count(*) FROM restaurants AS one JOIN restaurants AS other USING (name) WHERE one.id < other.id",
        "SELECT count(*) FROM (SELECT FROM orders GROUP BY user_id HAVING count(*) > 100) AS more_than_a_page",
        "SELECT count(*) FROM (SELECT FROM restaurant_orders GROUP BY restaurant_id HAVING count(*) > 100) AS more_than_a_page",
        // A restaurant all of whose dishes are sold equally often.
        "SELECT count(*) FROM (
             SELECT FROM (
                 SELECT restaurant_id, sum(quantity) AS sold
                 FROM restaurant_orders JOIN restaurant_order_items ON order_id = id GROUP BY restaurant_id, menu_item_id
             ) AS dishes GROUP BY restaurant_id HAVING count(*) > 5 AND min(sold) = max(sold)
         ) AS even",
    ] {
        assert!(count(sql).await > 0, "{sql}");
    }
    assert!(count("SELECT count(*) FROM products").await > 100, "more than a page");
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

/// Where orders are paid, with a fraud check and without.
const PROCESS: [&str; 2] = ["/api/payments/process", "/api/payments/process-simple"];

#[tokio::test]
async fn an_order_is_paid_once_and_the_payment_can_be_read() {
    let (database, outside) = (database().await, Outside::start().await);
    let server = TestServer::start(&database, &["--providers", &outside.url()]).await;
    let orders = pending_orders(&support::pool(&database).await, 2).await;
    for (path, order) in PROCESS.into_iter().zip(orders) {
        let pay = async |body: Value, status: StatusCode| {
            support::json(server.post(path).json(&body).send().await.unwrap(), status).await
        };
        let with_card = |last4: &str| {
            let mut body = payment(order);
            body["cardLast4"] = json!(last4);
            body
        };
        let problem = pay(with_card("0002"), StatusCode::PAYMENT_REQUIRED).await;
        assert!(text(&problem["error"]).contains("card"), "{problem}");
        let paid = pay(payment(order), StatusCode::CREATED).await;
        assert_eq!(
            (&paid["orderId"], &paid["amount"], &paid["status"]),
            (&json!(order), &json!(19.99), &json!("succeeded"))
        );
        // Whichever card it is: nothing is left to pay.
        for again in [payment(order), with_card("1111")] {
            assert_eq!(pay(again, StatusCode::CREATED).await, paid);
        }
        assert_eq!(server.json(&format!("/api/payments/{}", text(&paid["id"]))).await, paid);
    }
    assert_eq!(outside.charges().await.len(), 2);
}

#[tokio::test]
async fn without_outside_services_nobody_can_pay_and_is_told_to_come_back() {
    let database = database().await;
    let server = TestServer::start(&database, &[]).await;
    let order = pending_orders(&support::pool(&database).await, 1).await[0];
    for path in PROCESS {
        let answer = server.post(path).json(&payment(order)).send().await.unwrap();
        assert_eq!(answer.headers()["retry-after"], "1");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem = support::json(answer, StatusCode::SERVICE_UNAVAILABLE).await;
        assert!(text(&problem["error"]).contains("PROVIDERS_URL"), "{problem}");
    }
}

#[tokio::test]
async fn bad_input_gets_problem_details_that_name_the_thing() {
    let database = database().await;
    let server = TestServer::start(&database, &[]).await;
    let order = pending_orders(&support::pool(&database).await, 1).await[0];
    let user = server.heavy_user().await;
    let product = text(&server.json("/products?limit=1").await["products"][0]["id"]);
    let nobody = uuid::Uuid::now_v7().to_string();
    let cart = |user: &str, items: Value| json!({ "userId": user, "items": items }).to_string();
    let line = |product: &str, quantity: Value| json!({ "productId": product, "quantity": quantity });
    let checkout = |body: String, status: u16, names: &'static str| {
        (Method::POST, "/orders/checkout".to_owned(), body, status, names)
    };
    let pay = |member: &str, value: Option<Value>, status: u16, names: &'static str| {
        let mut body = payment(order);
        match value {
            Some(value) => body[member] = value,
            None => drop(body.as_object_mut().unwrap().remove(member)),
        }
        (Method::POST, PROCESS[0].to_owned(), body.to_string(), status, names)
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
        pay("orderId", None, 422, "orderId"),
        pay("amount", None, 422, "amount"),
        pay("paymentMethod", None, 422, "paymentMethod"),
        pay("cardLast4", None, 422, "cardLast4"),
        pay("orderId", Some(json!("one")), 422, "orderId"),
        pay("orderId", Some(json!(nobody)), 422, "there is no order"),
        pay("amount", Some(json!(19.999)), 422, "amount"),
        pay("amount", Some(json!("19.99")), 422, "amount"),
        pay("amount", Some(json!(-19.99)), 422, "amount"),
        pay("amount", Some(json!(20)), 422, "total is 19.99"),
        pay("paymentMethod", Some(json!("")), 422, "paymentMethod"),
        pay("cardLast4", Some(json!("12345")), 422, "cardLast4"),
        pay("amount", Some(json!(0)), 422, "amount"),
        pay("cardLast4", Some(json!("424")), 422, "cardLast4"),
        pay("cardLast4", Some(json!("42x2")), 422, "cardLast4"),
        pay("cardLast4", Some(json!("４２４２")), 422, "cardLast4"),
        pay("cardLast4", Some(json!(4242)), 422, "cardLast4"),
        get(&format!("/api/payments/{nobody}"), 404, "payment"),
        get("/api/payments/one", 404, "UUID"),
        get("/api/payments/process", 405, "GET"),
        get("/api/products?limit=0", 422, "limit"),
        get("/products?page=0", 422, "page"),
        get("/products?page=-1", 422, "page"),
        get("/products?limit=1000000000", 422, "limit"),
        get("/products?limit=9223372036854775807", 422, "limit"),
        get("/products?page=x", 400, "page"),
        get("/admin/inventory/low?threshold=-1", 422, "threshold"),
        get(&format!("/products/{nobody}"), 404, "product"),
        get("/products/one", 404, "UUID"),
        get(&format!("/orders/{nobody}"), 404, "user"),
        get(&format!("/orders/{user}?after={nobody}"), 404, "order"),
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
async fn a_tenant_that_cannot_be_told_is_refused_with_the_reason() {
    let server = server().await;
    let cases: [(&[&[u8]], &str); 5] = [
        (&[], "is missing"),
        (&[b""], "is empty"),
        (&[b"tenant-\xff"], "printable ASCII"),
        (&["tenant-ü".as_bytes()], "printable ASCII"),
        (&[b"tenant-1", b"tenant-2"], "more than once"),
    ];
    for (tenants, reason) in cases {
        let request = tenants.iter().fold(server.get("/restaurants"), |request, tenant| {
            request.header("X-Tenant-ID", HeaderValue::from_bytes(tenant).unwrap())
        });
        let problem = support::json(request.send().await.unwrap(), StatusCode::BAD_REQUEST).await;
        assert!(text(&problem["error"]).contains(reason), "{problem}");
    }
}

#[tokio::test]
async fn a_buyer_who_cannot_be_told_is_refused_with_the_reason() {
    let server = server().await;
    let cases: [(&[&[u8]], &str); 5] = [
        (&[], "is missing"),
        (&[b""], "is not an id"),
        (&[b"somebody"], "is not an id"),
        (&[b"0190a0b0-0000-7000-8000-00000000000\xff"], "is not an id"),
        (
            &[b"0190a0b0-0000-7000-8000-000000000001", b"0190a0b0-0000-7000-8000-000000000002"],
            "more than once",
        ),
    ];
    let path = format!("/reservations/{}", uuid::Uuid::now_v7());
    for (buyers, reason) in cases {
        let request = buyers.iter().fold(server.get(&path), |request, buyer| {
            request.header("X-User-Id", HeaderValue::from_bytes(buyer).unwrap())
        });
        let problem = support::json(request.send().await.unwrap(), StatusCode::BAD_REQUEST).await;
        assert!(text(&problem["error"]).contains(reason), "{problem}");
    }
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

/// The public API, but for `/openapi.json` itself. The document is made from the router, so this is what is served.
const ROUTES: &[&str] = &[
    "DELETE /reservations/{id}",
    "GET /",
    "GET /admin/inventory/low",
    "GET /api/payments/{id}",
    "GET /api/products",
    "GET /health",
    "GET /orders/{userId}",
    "GET /products",
    "GET /products/{id}",
    "GET /reports/orders/{userId}",
    "GET /reservations/{id}",
    "GET /restaurants",
    "GET /restaurants/{id}/analytics",
    "GET /restaurants/{id}/menu",
    "GET /restaurants/{id}/orders",
    "GET /sales/{id}",
    "GET /users",
    "POST /api/checkout",
    "POST /api/payments/process",
    "POST /api/payments/process-simple",
    "POST /orders/checkout",
    "POST /restaurants/{id}/menu",
    "POST /restaurants/{id}/orders",
    "POST /sales",
    "POST /sales/{id}/reservations",
];

#[tokio::test]
async fn the_openapi_document_lists_every_route_and_no_other() {
    let document = server().await.json("/openapi.json").await;
    let methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
    let mut listed = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let of_path = methods.iter().filter(|method| item.get(**method).is_some());
        listed.extend(of_path.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    listed.sort();
    assert_eq!(listed, ROUTES);
    for route in target_app::exercises::EXERCISES.iter().flat_map(|exercise| exercise.routes) {
        assert!(
            ROUTES.contains(route),
            "the server has no {route}, which an exercise is about: write its handler in target-app/src/routes, and add it to ROUTES"
        );
    }
}

#[tokio::test]
async fn the_operator_port_is_not_public() {
    let server = server().await;
    assert_eq!(server.get("/metrics").send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert!(server.metrics().await.contains("stampede_run_info"));
}

/// The routes in the document, such as `GET /products`, with what it says of each.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation))
    });
    operations.collect()
}

fn of_tenant(request: RequestBuilder) -> RequestBuilder {
    request.header("X-Tenant-ID", "tenant-1")
}

fn of_buyer(request: RequestBuilder) -> RequestBuilder {
    request.header("X-User-Id", "0190a0b0-0000-7000-8000-000000000001")
}

#[tokio::test]
async fn the_openapi_document_says_which_requests_each_route_refuses() {
    let (database, outside) = (database().await, Outside::start().await);
    let server = TestServer::start(&database, &["--body-limit", "1000", "--providers", &outside.url()]).await;
    let pool = support::pool(&database).await;
    let unpaid = pending_orders(&pool, 1).await[0];
    let shipped = pending_orders(&pool, 1).await[0];
    let ship = "UPDATE orders SET status = 'shipped' WHERE id = $1";
    sqlx::query(ship).bind(shipped).execute(&pool).await.unwrap();
    let (user, restaurant) = (server.heavy_user().await, server.restaurants().await[0].clone());
    let product = text(&server.json("/products?limit=1").await["products"][0]["id"]);
    let (menu, orders) =
        (format!("/restaurants/{restaurant}/menu"), format!("/restaurants/{restaurant}/orders"));
    let dish = json!({ "name": "Last pie", "price": 1, "inventory": 1 });
    let added = of_tenant(server.post(&menu)).json(&dish).send().await.unwrap();
    let added = support::json(added, StatusCode::CREATED).await;
    let meal = json!({ "items": [{ "menuItemId": added["id"], "quantity": 2 }] });
    let nobody = uuid::Uuid::now_v7();
    let nobodys = format!("/restaurants/{nobody}");
    let closed = json!({ "name": "Later", "stock": 1, "price": 1, "holdSeconds": 1, "opensAt": "2999-01-01T00:00:00Z" });
    let closed =
        support::json(server.post("/sales").json(&closed).send().await.unwrap(), StatusCode::CREATED).await;
    let closed = format!("/sales/{}/reservations", text(&closed["id"]));
    // Sold, so nothing is left to cancel.
    let sold = "INSERT INTO reservations (id, sale_id, buyer_id, status, expires_at)
                VALUES ($1, $1, '0190a0b0-0000-7000-8000-000000000001', 'paid', now())";
    sqlx::query(sold).bind(nobody).execute(&pool).await.unwrap();
    let paid = format!("/reservations/{nobody}");

    let mut requests = vec![
        ("GET /admin/inventory/low", server.get("/admin/inventory/low?threshold=x")),
        ("GET /admin/inventory/low", server.get("/admin/inventory/low?threshold=-1")),
        ("GET /api/payments/{id}", server.get("/api/payments/one")),
        ("GET /api/products", server.get("/api/products?page=x")),
        ("GET /api/products", server.get("/api/products?page=0")),
        ("GET /orders/{userId}", server.get("/orders/one")),
        ("GET /orders/{userId}", server.get(&format!("/orders/{user}?after=one"))),
        ("GET /orders/{userId}", server.get(&format!("/orders/{user}?limit=0"))),
        ("GET /products", server.get("/products?page=x")),
        ("GET /products", server.get("/products?page=0")),
        ("GET /products/{id}", server.get("/products/one")),
        ("GET /reports/orders/{userId}", server.get("/reports/orders/one")),
        ("GET /restaurants", server.get("/restaurants")),
        ("GET /restaurants/{id}/analytics", server.get(&format!("/restaurants/{restaurant}/analytics"))),
        ("GET /restaurants/{id}/analytics", of_tenant(server.get(&format!("{nobodys}/analytics")))),
        ("GET /restaurants/{id}/menu", server.get(&menu)),
        ("GET /restaurants/{id}/menu", of_tenant(server.get(&format!("{nobodys}/menu")))),
        ("GET /restaurants/{id}/orders", server.get(&orders)),
        ("GET /restaurants/{id}/orders", of_tenant(server.get(&format!("{nobodys}/orders")))),
        ("GET /restaurants/{id}/orders", of_tenant(server.get(&format!("{orders}?limit=0")))),
        ("DELETE /reservations/{id}", server.request(Method::DELETE, &paid)),
        ("DELETE /reservations/{id}", of_buyer(server.request(Method::DELETE, "/reservations/one"))),
        ("DELETE /reservations/{id}", of_buyer(server.request(Method::DELETE, &paid))),
        ("GET /reservations/{id}", server.get(&paid)),
        ("GET /reservations/{id}", of_buyer(server.get("/reservations/one"))),
        ("GET /sales/{id}", server.get("/sales/one")),
        ("POST /sales/{id}/reservations", server.post(&closed)),
        ("POST /sales/{id}/reservations", of_buyer(server.post("/sales/one/reservations"))),
        ("POST /sales/{id}/reservations", of_buyer(server.post(&closed))),
        ("GET /users", server.get("/users?email=a&email=b")),
        ("GET /users", server.get("/users?email=%00")),
        ("POST /orders/checkout", server.checkout(&user, &[(&product, 1000)])),
        ("POST /restaurants/{id}/menu", of_tenant(server.post(&format!("{nobodys}/menu"))).json(&dish)),
        ("POST /restaurants/{id}/menu", of_tenant(server.post(&menu)).json(&dish)),
        ("POST /restaurants/{id}/orders", of_tenant(server.post(&format!("{nobodys}/orders"))).json(&meal)),
        ("POST /restaurants/{id}/orders", of_tenant(server.post(&orders)).json(&meal)),
    ];
    let buy = |key: &str, card: &str, quantity: i32| {
        let items = json!([{ "productId": product, "quantity": quantity }]);
        let checkout = json!({ "userId": user, "items": items, "paymentMethod": "card", "cardLast4": card });
        server.post("/api/checkout").header("Idempotency-Key", key).json(&checkout)
    };
    requests.push(("POST /api/checkout", buy("too-many", "4242", 1000)));
    requests.push(("POST /api/checkout", buy("declined", "0002", 1)));
    let posts = [
        ("POST /api/payments/process", PROCESS[0]),
        ("POST /api/payments/process-simple", PROCESS[1]),
        ("POST /api/checkout", "/api/checkout"),
        ("POST /orders/checkout", "/orders/checkout"),
        ("POST /restaurants/{id}/menu", &menu),
        ("POST /restaurants/{id}/orders", &orders),
        ("POST /sales", "/sales"),
    ];
    for (route, path) in &posts[..2] {
        let mut declined = payment(unpaid);
        declined["cardLast4"] = json!("0002");
        requests.push((route, server.post(path).json(&declined)));
        requests.push((route, server.post(path).json(&payment(shipped))));
    }
    let too_large = " ".repeat(1001);
    for (route, path) in posts {
        let json = "application/json";
        for (kind, body) in [(json, "{"), ("text/plain", "{}"), (json, "{}"), (json, too_large.as_str())] {
            let request = of_tenant(server.post(path)).header("content-type", kind).body(body.to_owned());
            requests.push((route, request.header("Idempotency-Key", "refused")));
        }
    }
    let mut answered = BTreeSet::new();
    for (route, request) in requests {
        answered.insert((route.to_owned(), request.send().await.unwrap().status().as_str().to_owned()));
    }
    // A body that does not come: on a server of its own, because it is impatient with everything.
    let impatient = TestServer::start(&database, &["--request-timeout-ms", "100"]).await;
    for (route, path) in posts {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nx-tenant-id: tenant-1\r\nidempotency-key: refused\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
        );
        let status = raw(&impatient, &head, b"{").await.replace("HTTP/1.1 ", "");
        answered.insert((route.to_owned(), status));
    }

    let document = server.json("/openapi.json").await;
    let mut documented = BTreeSet::new();
    for (route, operation) in operations(&document) {
        let refusals =
            operation["responses"].as_object().unwrap().iter().filter(|(status, _)| status.starts_with('4'));
        for (status, refusal) in refusals {
            let shared = document.pointer(&text(&refusal["$ref"])[1..]).unwrap();
            assert!(shared["content"]["application/problem+json"]["schema"].is_object(), "{route} {status}");
            documented.insert((route.clone(), status.clone()));
        }
    }
    assert_eq!(answered, documented);
}

#[tokio::test]
async fn the_openapi_document_says_that_a_slow_database_gets_503() {
    let database = database().await;
    let server = TestServer::start(&database, &["--request-timeout-ms", "100"]).await;
    let document = server.json("/openapi.json").await;
    let mut lock = support::pool(&database).await.begin().await.unwrap();
    let tables = "LOCK TABLE products, users, orders, payments, restaurants, sales, reservations IN ACCESS EXCLUSIVE MODE";
    sqlx::query(tables).execute(&mut *lock).await.unwrap();

    let id = uuid::Uuid::now_v7().to_string();
    for (route, operation) in operations(&document) {
        let (method, path) = route.split_once(' ').unwrap();
        let request =
            server.request(method.parse().unwrap(), &path.replace("{id}", &id).replace("{userId}", &id));
        let request = match path.rsplit_once('/') {
            Some((_, "checkout")) => server.checkout(&id, &[(&id, 1)]),
            Some(("/api/payments", _)) => request.json(&payment(uuid::Uuid::now_v7())),
            Some((_, "menu")) => request.json(&json!({ "name": "pie", "price": 1, "inventory": 1 })),
            Some((_, "sales")) => {
                request.json(&json!({ "name": "Rare", "stock": 1, "price": 1, "holdSeconds": 1 }))
            }
            _ => request.json(&json!({ "items": [{ "menuItemId": id, "quantity": 1 }] })),
        };
        let status = of_buyer(of_tenant(request)).send().await.unwrap().status();
        assert_eq!(status == StatusCode::OK, ["/", "/health"].contains(&path), "{route}: {status}");
        assert!(operation["responses"].get(status.as_str()).is_some(), "{route}: {status}");
    }
}

#[tokio::test]
async fn a_body_is_what_its_schema_says_and_a_tenant_too() {
    let server = server().await;
    let document = server.json("/openapi.json").await;
    let is_valid = |schema: Value, value: &Value| {
        let mut root = document.clone();
        root.as_object_mut().unwrap().extend(schema.as_object().unwrap().clone());
        jsonschema::is_valid(&root, value)
    };
    let restaurant = server.restaurants().await[0].clone();
    let nobody = uuid::Uuid::now_v7();

    let menu = format!("/restaurants/{restaurant}/menu");
    let dishes = [
        ("pie", "1.5", "2"),
        ("pi\\ne", "1", "3.0"),
        ("pi\\tü", "0", "3e2"),
        ("", "1", "1"),
        ("a\\u0000b", "1", "1"),
        ("pie", "1", "1.5"),
        ("pie", "1", "-1.0"),
        ("pie", "1", "\"1\""),
        ("pie", "-1", "1"),
    ];
    for (n, (name, price, inventory)) in dishes.into_iter().enumerate() {
        let name = if name.is_empty() { String::new() } else { format!("{name} {n}") };
        let body = format!(r#"{{"name": "{name}", "price": {price}, "inventory": {inventory}}}"#);
        let request = of_tenant(server.post(&menu)).header("content-type", "application/json");
        let status = request.body(body.clone()).send().await.unwrap().status();
        let dish: Value = serde_json::from_str(&body).unwrap();
        let valid = is_valid(json!({ "$ref": "#/components/schemas/NewMenuItem" }), &dish);
        assert_eq!(status, if valid { 201 } else { 422 }, "{body}");
    }

    // What is as it should be is refused for its unknown order only.
    for (member, value) in [
        ("cardLast4", json!("4242")),
        ("cardLast4", json!("0000")),
        ("cardLast4", json!("424")),
        ("cardLast4", json!("42424")),
        ("cardLast4", json!("4242\n")),
        ("cardLast4", json!(4242)),
        ("paymentMethod", json!("x")),
        ("paymentMethod", json!("ü".repeat(100))),
        ("paymentMethod", json!("ü".repeat(101))),
        ("paymentMethod", json!("")),
        ("amount", json!(0)),
        ("amount", json!("1")),
    ] {
        let mut body = payment(nobody);
        body[member] = value;
        let problem =
            server.post(PROCESS[0]).json(&body).send().await.unwrap().json::<Value>().await.unwrap();
        let valid = is_valid(json!({ "$ref": "#/components/schemas/PaymentRequest" }), &body);
        assert_eq!(valid, text(&problem["error"]).starts_with("there is no order"), "{body}: {problem}");
    }

    // What is as it should be is refused for its unknown ids only.
    let meals = (format!("/restaurants/{restaurant}/orders"), "NewMeal", "menuItemId");
    let carts = ("/orders/checkout".to_owned(), "Cart", "productId");
    for (path, schema, id) in [meals, carts] {
        for quantity in ["1", "1.0", "10e-1", "1.5", "0.0", "null"] {
            let body = format!(
                r#"{{"userId": "{nobody}", "items": [{{"{id}": "{nobody}", "quantity": {quantity}}}]}}"#
            );
            let request = of_tenant(server.post(&path)).header("content-type", "application/json");
            let error = request.body(body.clone()).send().await.unwrap().json::<Value>().await.unwrap();
            let reference = json!({ "$ref": format!("#/components/schemas/{schema}") });
            let valid = is_valid(reference, &serde_json::from_str(&body).unwrap());
            assert_eq!(valid, !text(&error["error"]).contains("quantity"), "{body}: {error}");
        }
        let items = &document["components"]["schemas"][schema]["properties"]["items"];
        assert!(text(&items["description"]).contains("listed twice is refused"), "{items}");
    }

    let parameter = |path: &str, name: &str| {
        let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
        parameters.iter().find(|parameter| parameter["name"] == name).unwrap()["schema"].clone()
    };
    let tenants =
        [(" ", false), ("", false), ("tenant-ü", false), ("t", true), ("a b\tc~!", true), ("\t", false)];
    for (tenant, taken) in tenants {
        let header = HeaderValue::from_bytes(tenant.as_bytes()).unwrap();
        let status = server.get("/restaurants").header("X-Tenant-ID", header).send().await.unwrap().status();
        assert_eq!(status == StatusCode::OK, taken, "{tenant:?}");
        assert_eq!(is_valid(parameter("/restaurants", "X-Tenant-ID"), &json!(tenant)), taken, "{tenant:?}");
    }
    for (email, status) in [("a@b", 200), ("a%0Ab", 200), ("%00", 422)] {
        assert_eq!(server.get(&format!("/users?email={email}")).send().await.unwrap().status(), status);
        let email = email.replace("%0A", "\n").replace("%00", "\0");
        assert_eq!(is_valid(parameter("/users", "email"), &json!(email)), status == 200, "{email:?}");
    }
}

#[tokio::test]
async fn the_openapi_document_gives_the_limits_that_hold() {
    let server = server().await;
    let restaurant = server.restaurants().await[0].clone();
    let user = server.heavy_user().await;
    let document = server.json("/openapi.json").await;

    let mut bounds = Vec::new();
    for (route, operation) in operations(&document) {
        let path = route.trim_start_matches("GET ").replace("{id}", &restaurant).replace("{userId}", &user);
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        for parameter in parameters.filter(|parameter| parameter["in"] == "query") {
            for (bound, beyond) in [("minimum", -1), ("maximum", 1)] {
                let Some(value) = parameter["schema"][bound].as_i64() else { continue };
                for (value, status) in
                    [(value, StatusCode::OK), (value + beyond, StatusCode::UNPROCESSABLE_ENTITY)]
                {
                    let request = server.get(&format!("{path}?{}={value}", text(&parameter["name"])));
                    assert_eq!(
                        of_tenant(request).send().await.unwrap().status(),
                        status,
                        "{route} {parameter}"
                    );
                }
                bounds.push(format!("{route} {bound} {}", text(&parameter["name"])));
            }
        }
    }
    // The least and the most of a page's number and size, three times, of a list's length, and the least threshold.
    assert_eq!(bounds.len(), 15, "{bounds:#?}");

    let bound = |schema: &str, field: &str, bound: &str| {
        let found = document["components"]["schemas"][schema]["properties"][field][bound].as_f64();
        found.unwrap_or_else(|| panic!("{schema}.{field} has no {bound}"))
    };
    let send = async |path: &str, body: Value| {
        let answer = of_tenant(server.post(path)).json(&body).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["error"].as_str().unwrap_or_default().to_owned()
    };
    let dish = |name: f64, price: f64, inventory: f64| json!({ "name": "ü".repeat(name as usize), "price": price, "inventory": inventory as i64 });
    let menu = format!("/restaurants/{restaurant}/menu");
    for (side, beyond) in [("min", -1.0), ("max", 1.0)] {
        let name = bound("NewMenuItem", "name", &format!("{side}Length"));
        let [price, inventory] =
            ["price", "inventory"].map(|field| bound("NewMenuItem", field, &format!("{side}imum")));
        assert_eq!(send(&menu, dish(name, price, inventory)).await, "");
        for (field, body) in [
            ("name: ", dish(name + beyond, price, inventory)),
            ("price: ", dish(name, price + beyond / 100.0, inventory)),
            ("inventory: ", dish(name, price, inventory + beyond)),
        ] {
            assert!(send(&menu, body).await.starts_with(field), "{side} {field}");
        }

        let meals = (format!("/restaurants/{restaurant}/orders"), "NewMeal", "NewMealItem", "menuItemId");
        let carts = ("/orders/checkout".to_owned(), "Cart", "CartItem", "productId");
        for (path, list, line, id) in [meals, carts] {
            let body = |lines: f64, quantity: f64| {
                let line = |_| json!({ id: uuid::Uuid::now_v7(), "quantity": quantity as i64 });
                let lines: Vec<Value> = (0..lines as usize).map(line).collect();
                json!({ "userId": uuid::Uuid::now_v7(), "items": lines })
            };
            let lines = bound(list, "items", &format!("{side}Items"));
            let quantity = bound(line, "quantity", &format!("{side}imum"));
            // What is within the limits is refused for its unknown ids only.
            assert!(!send(&path, body(lines, quantity)).await.contains(": "), "{list} {side}");
            assert!(
                send(&path, body(lines + beyond, quantity)).await.starts_with("items: "),
                "{list} {side}"
            );
            let refused = send(&path, body(lines, quantity + beyond)).await;
            assert!(refused.starts_with("items[0].quantity: "), "{line} {side}: {refused}");
        }
    }
}
