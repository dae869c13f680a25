use futures::future::join_all;
use reqwest::StatusCode;
use target_app::exercises::hung_payments::{EXERCISE, Variant};
use uuid::Uuid;

use crate::support::{Outside, TestServer, database, json, pending_orders, pool, soon};

const PAGE: &str = "/api/products?limit=20";

/// Connections that a server is asked to have; only one variant has more.
const CONNECTIONS: usize = 2;

/// A server with few connections, beside outside services of its own, and orders to be paid there.
struct Shop {
    server: TestServer,
    outside: Outside,
    orders: Vec<Uuid>,
}

impl Shop {
    async fn open(variant: Variant, options: &[&str]) -> Self {
        let (database, outside) = (database().await, Outside::start().await);
        let connections = variant.connections(CONNECTIONS as u32);
        let orders = pending_orders(&pool(&database).await, connections as usize).await;
        let (url, size) = (outside.url(), CONNECTIONS.to_string());
        let variant = format!("{}={}", EXERCISE.id, variant.entry().name);
        let shop = ["--providers", &url, "--variant", &variant, "--pool-size", &size];
        let server = TestServer::start(&database, &[&shop, options].concat()).await;
        Shop { server, outside, orders }
    }

    async fn page(&self) -> StatusCode {
        soon("a product page", self.server.get(PAGE).send()).await.unwrap().status()
    }

    /// Pays until it is known what became of it, as somebody does who is told 503.
    async fn pay_until_settled(&self, order: Uuid) {
        let paying = async {
            loop {
                let answer = self.server.pay(order).send().await.unwrap();
                match answer.status() {
                    StatusCode::SERVICE_UNAVAILABLE => assert!(answer.headers().contains_key("retry-after")),
                    status => return assert_eq!(status, StatusCode::CREATED),
                }
            }
        };
        soon("a payment that is settled", paying).await;
    }
}

/// What a product page gets while as many payments wait for the fraud check as the server has connections.
async fn page_beside_held_payments(variant: Variant) -> StatusCode {
    // The server itself says when a request has waited in vain.
    let shop = Shop::open(variant, &["--acquire-timeout-ms", "300"]).await;
    let payments = shop.orders.len();
    shop.outside.hold("fraud", "before-effect", payments).await;
    let paying = join_all(shop.orders.iter().map(|order| shop.pay_until_settled(*order)));
    let looking = async {
        shop.outside.held("fraud", payments).await;
        let page = shop.page().await;
        shop.outside.release("fraud").await;
        page
    };
    let (page, _) = tokio::join!(looking, paying);
    assert_eq!(shop.page().await, StatusCode::OK, "{variant:?}: no payment is held any more");
    assert_eq!(shop.outside.charges().await.len(), payments, "{variant:?}");
    page
}

/// The same where payments do not wait for so long: what becomes of them, and what the page gets afterwards.
async fn page_after_held_payments(variant: Variant) -> (Vec<StatusCode>, StatusCode) {
    let shop = Shop::open(variant, &[]).await;
    shop.outside.hold("fraud", "before-effect", shop.orders.len()).await;
    let paying = shop.orders.iter().map(async |order| shop.server.pay(*order).send().await.unwrap().status());
    let paid = soon("answers to payments that are held", join_all(paying)).await;
    let page = shop.page().await;
    assert!(shop.outside.charges().await.is_empty(), "{variant:?} charges before the check");
    (paid, page)
}

#[tokio::test]
async fn payments_that_wait_take_the_connections_of_every_page_unless_they_wait_without_one() {
    const BUSY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    for variant in Variant::ALL.iter().copied() {
        match variant {
            // Whoever waits longer than it takes is refused, and never has the connections for long.
            Variant::ShortTimeout => {
                let (paid, page) = page_after_held_payments(variant).await;
                assert_eq!((&paid[..], page), (&[BUSY; CONNECTIONS][..], StatusCode::OK));
            }
            Variant::Fixed => assert_eq!(page_beside_held_payments(variant).await, StatusCode::OK),
            _ => assert_eq!(page_beside_held_payments(variant).await, BUSY, "{variant:?}"),
        }
    }
}

/// How often the card was charged of somebody who paid, was told 503 after it was charged, and paid again.
async fn charges_of_who_pays_again(variant: Variant) -> usize {
    // Some wait for the provider for as long as a request may take.
    let shop = Shop::open(variant, &["--request-timeout-ms", "1500"]).await;
    let order = shop.orders[0];
    shop.outside.hold("payments", "after-effect", 1).await;
    // A server that is slow today may give up before it has charged the card.
    while shop.outside.charges().await.is_empty() {
        let answer = shop.server.pay(order).send().await.unwrap();
        assert!(answer.headers().contains_key("retry-after"), "{variant:?}");
        json(answer, StatusCode::SERVICE_UNAVAILABLE).await;
    }
    shop.outside.release("payments").await;
    shop.pay_until_settled(order).await;
    let charges = shop.outside.charges().await;
    let reference = order.to_string();
    assert!(charges.iter().all(|charge| charge.request["reference"] == reference), "{charges:?}");
    charges.len()
}

#[tokio::test]
async fn a_payment_that_was_given_up_is_charged_again_unless_it_was_recorded_before() {
    for variant in Variant::ALL.iter().copied() {
        let charges = charges_of_who_pays_again(variant).await;
        assert_eq!(charges == 1, variant == Variant::Fixed, "{variant:?}: {charges} charges");
    }
}
