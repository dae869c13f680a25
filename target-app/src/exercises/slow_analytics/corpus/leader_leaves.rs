use super::*;

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Restaurants whose figures are being computed, and who came too late for that snapshot.
type Queues = HashMap<Uuid, Vec<oneshot::Sender<Analytics>>>;

static QUEUES: LazyLock<Mutex<Queues>> = LazyLock::new(|| Mutex::new(HashMap::new()));

fn queues() -> MutexGuard<'static, Queues> {
    QUEUES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// At most one query a restaurant runs at a time. Who comes while it runs may know of newer orders than it does, and
/// shares the next one with all the others who came meanwhile.
pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    if let Some(answer) = queue_up(restaurant) {
        return match answer.await {
            Ok(answer) => Ok(answer),
            // The shared query failed: each tries alone and has its own error to report.
            Err(_) => sum_up(pool, restaurant).await,
        };
    }
    let answer = sum_up(pool, restaurant).await;
    // Also after an error: the others must not wait for ever.
    if let Some(guests) = next_guests(restaurant) {
        tokio::spawn(serve(pool.clone(), restaurant, guests));
    }
    answer
}

/// A place in the queue, or none if nobody is before us.
fn queue_up(restaurant: Uuid) -> Option<oneshot::Receiver<Analytics>> {
    let mut queues = queues();
    if let Some(queue) = queues.get_mut(&restaurant) {
        let (guest, answer) = oneshot::channel();
        queue.push(guest);
        return Some(answer);
    }
    queues.insert(restaurant, Vec::new());
    None
}

/// Everyone who waits by now; closes the queue if that is nobody.
fn next_guests(restaurant: Uuid) -> Option<Vec<oneshot::Sender<Analytics>>> {
    let mut queues = queues();
    let guests = std::mem::take(queues.get_mut(&restaurant)?);
    if guests.is_empty() {
        queues.remove(&restaurant);
        return None;
    }
    Some(guests)
}

async fn serve(pool: PgPool, restaurant: Uuid, mut guests: Vec<oneshot::Sender<Analytics>>) {
    loop {
        if let Ok(answer) = sum_up(&pool, restaurant).await {
            for guest in guests {
                // Who hung up meanwhile needs no answer.
                let _ = guest.send(answer.clone());
            }
        }
        guests = match next_guests(restaurant) {
            Some(next) => next,
            None => return,
        };
    }
}

/// The totals, and beside them one best seller a row; without best sellers one row without a dish.
type Row = (i64, Cents, Option<Uuid>, Option<String>, Option<i64>, Option<Cents>);

/// One statement, so one snapshot: totals come from the orders, best sellers from their lines, and neither multiplies
/// the other.
async fn sum_up(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let rows: Vec<Row> = sqlx::query_as(
        "WITH placed AS (
             SELECT id, total_cents FROM restaurant_orders WHERE restaurant_id = $1 AND status <> 'cancelled'
         ), sold AS (
             SELECT i.menu_item_id, sum(i.quantity) AS portions,
                    sum(i.quantity * i.unit_price_cents)::bigint AS earned
             FROM placed AS p JOIN restaurant_order_items AS i ON i.order_id = p.id
             GROUP BY i.menu_item_id
             ORDER BY portions DESC, i.menu_item_id LIMIT $2
         )
         SELECT t.orders, t.revenue, s.menu_item_id, s.name, s.portions, s.earned
         FROM (SELECT count(*) AS orders, coalesce(sum(total_cents), 0)::bigint AS revenue FROM placed) AS t
         LEFT JOIN (
             SELECT sold.menu_item_id, m.name, sold.portions, sold.earned
             FROM sold JOIN menu_items AS m ON m.id = sold.menu_item_id
         ) AS s ON true",
    )
    .bind(restaurant)
    .bind(TOP_ITEMS as i64)
    .fetch_all(pool)
    .await?;

    let (orders, revenue) = rows.first().map_or((0, Cents(0)), |row| (row.0, row.1));
    let items = rows.into_iter().filter_map(|(_, _, dish, name, quantity, revenue)| {
        Some(TopItem { menu_item_id: dish?, name: name?, quantity: quantity?, revenue: revenue? })
    });
    Ok(Analytics::new(orders, revenue, items.collect()))
}
