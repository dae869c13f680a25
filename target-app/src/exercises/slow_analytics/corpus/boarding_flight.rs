use super::*;

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::watch;

/// The flights that wait for a connection. Whoever comes while one waits may join: its statement will start after that.
static BOARDING: LazyLock<Mutex<HashMap<Key, Flight>>> = LazyLock::new(Mutex::default);

/// Which database, which restaurant.
type Key = (String, u16, Option<String>, Uuid);

type Flight = watch::Receiver<Option<Landed>>;

/// How a flight ended.
#[derive(Clone)]
enum Landed {
    Figures(Arc<Analytics>),
    /// No connection was free in time.
    NoConnection,
    /// Something else went wrong: everybody asks for themselves, and gets the error as it is.
    Failed,
}

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let database = pool.connect_options();
    let name = database.get_database().map(str::to_owned);
    let key: Key = (database.get_host().to_owned(), database.get_port(), name, restaurant);

    let (mut flight, first) = {
        let mut boarding = BOARDING.lock().unwrap_or_else(PoisonError::into_inner);
        match boarding.get(&key) {
            Some(flight) => (flight.clone(), None),
            None => {
                let (land, flight) = watch::channel(None);
                boarding.insert(key.clone(), flight.clone());
                (flight, Some((Gate(key), land)))
            }
        }
    };
    if let Some((gate, land)) = first {
        // A task of its own: it ends for the others even if the first passenger leaves.
        tokio::spawn(fly(pool.clone(), gate, restaurant, land));
    }
    let landed = flight.wait_for(Option::is_some).await.ok().and_then(|landed| landed.clone());
    match landed {
        Some(Landed::Figures(figures)) => Ok(figures.as_ref().clone()),
        Some(Landed::NoConnection) => Err(sqlx::Error::PoolTimedOut),
        Some(Landed::Failed) | None => sum_up(&mut *pool.acquire().await?, restaurant).await,
    }
}

async fn fly(pool: PgPool, gate: Gate, restaurant: Uuid, land: watch::Sender<Option<Landed>>) {
    let connection = pool.acquire().await;
    // From here on nobody may join: what they know of may be too late for the statement.
    drop(gate);
    let landed = match connection {
        Ok(mut connection) => match sum_up(&mut connection, restaurant).await {
            Ok(figures) => Landed::Figures(Arc::new(figures)),
            Err(_) => Landed::Failed,
        },
        Err(sqlx::Error::PoolTimedOut) => Landed::NoConnection,
        Err(_) => Landed::Failed,
    };
    land.send_replace(Some(landed));
}

/// Open until it is dropped, however that comes about.
struct Gate(Key);

impl Drop for Gate {
    fn drop(&mut self) {
        BOARDING.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

type Row = (i64, Cents, Option<Uuid>, Option<String>, Option<i64>, Option<Cents>);

async fn sum_up(connection: &mut sqlx::PgConnection, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let rows: Vec<Row> = sqlx::query_as(
        "WITH counted AS (
             SELECT id, total_cents FROM restaurant_orders WHERE restaurant_id = $1 AND status <> 'cancelled'
         ), sold AS (
             SELECT menu_item_id, sum(quantity)::bigint AS quantity, sum(quantity * unit_price_cents)::bigint AS cents
             FROM restaurant_order_items JOIN counted ON counted.id = order_id
             GROUP BY menu_item_id ORDER BY quantity DESC, menu_item_id LIMIT $2
         )
         SELECT totals.orders, totals.cents, sold.menu_item_id, menu_items.name, sold.quantity, sold.cents
         FROM (SELECT count(*) AS orders, coalesce(sum(total_cents), 0)::bigint AS cents FROM counted) AS totals
         LEFT JOIN (sold JOIN menu_items ON menu_items.id = sold.menu_item_id) ON true",
    )
    .bind(restaurant)
    .bind(TOP_ITEMS as i64)
    .fetch_all(connection)
    .await?;

    let (orders, revenue) = rows.first().map_or((0, Cents(0)), |row| (row.0, row.1));
    let items = rows.into_iter().filter_map(|(_, _, menu_item_id, name, quantity, revenue)| {
        Some(TopItem { menu_item_id: menu_item_id?, name: name?, quantity: quantity?, revenue: revenue? })
    });
    Ok(Analytics::new(orders, revenue, items.collect()))
}
