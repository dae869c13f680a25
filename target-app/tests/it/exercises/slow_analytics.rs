use sqlx::PgPool;
use target_app::exercises::slow_analytics::{Analytics, Variant, analytics};
use uuid::Uuid;

use crate::support::{TestServer, database, pool};

/// The same sums, made another way: in one plain join, from the lines.
async fn independent_sums(pool: &PgPool, restaurant: Uuid) -> (i64, i64) {
    sqlx::query_as(
        "SELECT count(DISTINCT o.id), coalesce(sum(i.quantity * i.unit_price_cents), 0)::bigint
         FROM restaurant_orders o JOIN restaurant_order_items i ON i.order_id = o.id
         WHERE o.restaurant_id = $1 AND o.status <> 'cancelled'",
    )
    .bind(restaurant)
    .fetch_one(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn all_variants_sum_up_alike() {
    let database = database().await;
    let pool = pool(&database).await;
    sqlx::query("UPDATE restaurant_orders SET status = 'cancelled' WHERE get_byte(uuid_send(id), 15) < 64")
        .execute(&pool)
        .await
        .unwrap();
    let mut restaurants: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM restaurants").fetch_all(&pool).await.unwrap();
    // One that does not exist has sold nothing.
    restaurants.push(Uuid::now_v7());

    for restaurant in restaurants {
        let mut answers: Vec<Analytics> = Vec::new();
        for variant in Variant::ALL.iter().copied() {
            answers.push(analytics(variant, &pool, restaurant).await.unwrap());
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
        let (orders, revenue) = independent_sums(&pool, restaurant).await;
        assert_eq!((answers[0].total_orders, answers[0].total_revenue.0), (orders, revenue));
    }
}

#[tokio::test]
async fn statements_grow_with_the_orders_unless_the_database_sums_up() {
    const ROUTE: &str = r#"stampede_db_queries_per_request_sum{http_route="/restaurants/{id}/analytics"}"#;
    for variant in Variant::ALL.iter().copied() {
        let database = database().await;
        let option = format!("slow-analytics={}", variant.entry().name);
        let server = TestServer::start(&database, &["--variant", &option]).await;
        let restaurants = server.restaurants().await;
        let mut statements = Vec::new();
        for restaurant in &restaurants {
            let before = server.metric(ROUTE).await;
            server.json(&format!("/restaurants/{restaurant}/analytics")).await;
            statements.push(server.metric(ROUTE).await - before);
        }
        // 100 orders against 40.
        match variant {
            Variant::Fixed => assert_eq!(statements, [2.0, 2.0], "{variant:?}"),
            _ => assert!(
                statements[0] > 1.5 * statements[1] && statements[1] > 40.0,
                "{variant:?}: {statements:?}"
            ),
        }
    }
}
