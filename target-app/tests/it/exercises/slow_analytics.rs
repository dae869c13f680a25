use target_app::exercises::slow_analytics::{EXERCISE, Variant};

use crate::support::TestServer;

#[tokio::test]
async fn statements_grow_with_the_orders_unless_the_database_sums_up() {
    const ROUTE: &str = "/restaurants/{id}/analytics";
    for variant in Variant::ALL.iter().copied() {
        let server = TestServer::of(&EXERCISE, variant.entry()).await;
        let mut statements = Vec::new();
        // The busy one with 120 orders that count, and one with 32.
        for restaurant in &server.restaurants().await[..2] {
            let path = format!("/restaurants/{restaurant}/analytics");
            statements.push(server.statements(ROUTE, &path).await);
        }
        match variant {
            Variant::Fixed => assert_eq!(statements, [2.0, 2.0], "{variant:?}"),
            _ => assert!(
                statements[0] > 1.5 * statements[1] && statements[1] > 32.0,
                "{variant:?}: {statements:?}"
            ),
        }
    }
}
