use sqlx::PgConnection;
use target_app::exercises::oversold_stock::Variant;
use uuid::Uuid;

use crate::support::{TestServer, database, pool};

async fn product_with_stock(connection: &mut PgConnection, stock: i32) -> Uuid {
    let sql = "INSERT INTO products (id, name, price_cents, stock) VALUES ($1, 'Test', 250, $2) RETURNING id";
    sqlx::query_scalar(sql).bind(Uuid::now_v7()).bind(stock).fetch_one(connection).await.unwrap()
}

async fn stock(connection: &mut PgConnection, product: Uuid) -> i32 {
    sqlx::query_scalar("SELECT stock FROM products WHERE id = $1")
        .bind(product)
        .fetch_one(connection)
        .await
        .unwrap()
}

async fn any_user(connection: &mut PgConnection) -> Uuid {
    sqlx::query_scalar("SELECT id FROM users ORDER BY id LIMIT 1").fetch_one(connection).await.unwrap()
}

/// What two checkouts on two replicas came to, when both were under way before either could write.
struct Race {
    created: usize,
    refused: usize,
    errors: usize,
    left: Vec<i32>,
}

/// Sends one cart to each of two replicas while this test holds the rows of some products, and lets go of one row after
/// the other, each time when every cart either waits for somebody or is through.
async fn race(variant: Variant, stocks: &[i32], carts: [&[usize]; 2], hold: &[usize]) -> Race {
    let database = database().await;
    let pool = pool(&database).await;
    let mut setup = pool.acquire().await.unwrap();
    let user = any_user(&mut setup).await.to_string();
    let mut products = Vec::new();
    for pieces in stocks {
        products.push(product_with_stock(&mut setup, *pieces).await);
    }
    let option = format!("oversold-stock={}", variant.entry().name);
    let servers = [
        TestServer::start(&database, &["--variant", &option]).await,
        TestServer::start(&database, &["--variant", &option]).await,
    ];

    let mut held = Vec::new();
    for product in hold.iter().map(|index| products[*index]) {
        let mut holder = pool.begin().await.unwrap();
        // References to the product stay possible, as beside any other checkout.
        let lock = "SELECT FROM products WHERE id = $1 FOR NO KEY UPDATE";
        sqlx::query(lock).bind(product).execute(&mut *holder).await.unwrap();
        held.push(holder);
    }

    let answers: Vec<_> = servers
        .iter()
        .zip(carts)
        .map(|(server, cart)| {
            let ids: Vec<String> = cart.iter().map(|index| products[*index].to_string()).collect();
            let items: Vec<(&str, i64)> = ids.iter().map(|id| (id.as_str(), 1)).collect();
            tokio::spawn(server.checkout(&user, &items).send())
        })
        .collect();
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'target-app'
                     AND cardinality(pg_blocking_pids(pid)) > 0";
    for holder in held {
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *setup).await.unwrap()
            + (answers.iter().filter(|answer| answer.is_finished()).count() as i64)
            < 2
        {
            tokio::task::yield_now().await;
        }
        holder.commit().await.unwrap();
    }

    let mut race = Race { created: 0, refused: 0, errors: 0, left: Vec::new() };
    for answer in answers {
        match answer.await.unwrap().unwrap().status().as_u16() {
            201 => race.created += 1,
            409 => race.refused += 1,
            _ => race.errors += 1,
        }
    }
    for product in products {
        race.left.push(stock(&mut setup, product).await);
    }
    race
}

#[tokio::test]
async fn two_replicas_sell_the_last_piece_twice_unless_the_database_decides() {
    for variant in Variant::ALL.iter().copied() {
        let race = race(variant, &[1], [&[0], &[0]], &[0]).await;
        let protected = matches!(variant, Variant::RowLock | Variant::Fixed);
        let expected = if protected { (1, 1, 0) } else { (2, 0, 0) };
        assert_eq!((race.created, race.refused, race.errors), expected, "{variant:?}");
        assert_eq!(race.left, [0], "{variant:?}");
    }
}

#[tokio::test]
async fn carts_in_opposite_order_deadlock_unless_the_products_are_sorted() {
    for variant in Variant::ALL.iter().copied() {
        // One has 0 and waits for 2 before it wants 1; the other has 1 and waits for 3 before it wants 0.
        let race = race(variant, &[5, 5, 5, 5], [&[0, 2, 1], &[1, 3, 0]], &[2, 3]).await;
        match variant {
            // Without a transaction no lock outlives its statement; what goes wrong is the count.
            Variant::Buggy => assert_eq!((race.created, race.errors), (2, 0), "{variant:?}"),
            Variant::Fixed => {
                assert_eq!((race.created, race.errors, race.left), (2, 0, vec![3, 3, 4, 4]), "{variant:?}")
            }
            _ => assert_eq!((race.created, race.errors), (1, 1), "{variant:?}"),
        }
    }
}
