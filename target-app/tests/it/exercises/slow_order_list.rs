use serde_json::Value;
use target_app::exercises::slow_order_list::{EXERCISE, Variant};

use crate::support::{TestServer, text};

const ROUTE: &str = "/orders/{userId}";

#[tokio::test]
async fn statements_grow_with_the_orders_unless_all_items_are_read_at_once() {
    for variant in Variant::ALL.iter().copied() {
        let server = TestServer::of(&EXERCISE, variant.entry()).await;
        let heavy = server.heavy_user().await;
        let mut statements = Vec::new();
        for limit in [10, 120] {
            statements.push(server.statements(ROUTE, &format!("/orders/{heavy}?limit={limit}")).await);
        }
        match variant {
            Variant::Fixed => assert_eq!(statements, [2.0, 2.0], "{variant:?}"),
            _ => assert!(
                statements[0] > 20.0 && statements[1] > 6.0 * statements[0],
                "{variant:?}: {statements:?}"
            ),
        }
    }
}

#[tokio::test]
async fn an_order_is_in_the_next_list_unless_lists_are_kept() {
    for variant in Variant::ALL.iter().copied() {
        let server = TestServer::of(&EXERCISE, variant.entry()).await;
        let heavy = server.heavy_user().await;
        let list = format!("/orders/{heavy}");
        let before = server.json(&list).await;
        let product = text(&server.json("/products?page=2&limit=20").await["products"][0]["id"]);
        let order: Value =
            server.checkout(&heavy, &[(&product, 1)]).send().await.unwrap().json().await.unwrap();
        let listed = server.json(&list).await;
        if variant == Variant::Cached {
            assert_eq!(listed, before);
        } else {
            assert_eq!(listed[0], order, "{variant:?}");
        }
    }
}
