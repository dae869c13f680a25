use target_app::exercises::slow_analytics::Variant;

use crate::support::{TestServer, database};

#[tokio::test]
async fn statements_grow_with_the_orders_unless_the_database_sums_up() {
    const ROUTE: &str = r#"stampede_db_queries_per_request_sum{http_route="/restaurants/{id}/analytics"}"#;
    for variant in Variant::ALL.iter().copied() {
        let database = database().await;
        let option = format!("slow-analytics={}", variant.entry().name);
        let server = TestServer::start(&database, &["--variant", &option]).await;
        let restaurants = server.restaurants().await;
        let mut statements = Vec::new();
        // The busy one, and one with a third of its orders.
        for restaurant in &restaurants[..2] {
            let before = server.metric(ROUTE).await;
            server.json(&format!("/restaurants/{restaurant}/analytics")).await;
            statements.push(server.metric(ROUTE).await - before);
        }
        // 120 orders that count, against 32.
        match variant {
            Variant::Fixed => assert_eq!(statements, [2.0, 2.0], "{variant:?}"),
            _ => assert!(
                statements[0] > 1.5 * statements[1] && statements[1] > 32.0,
                "{variant:?}: {statements:?}"
            ),
        }
    }
}
