//! Flash sales: reservations of a stock that many want at one moment.
//!
//! A reservation is `waiting → held → paid | expired | cancelled`, or `waiting → cancelled`. Each transition is one statement whose `WHERE`
//! has the state that it starts from, so of two that meet one finds nothing to do. A sale's permits are a counting semaphore: a hold
//! takes one, and a payment keeps it. A hold is over at `expires_at`, even if no server has noted it.
//! No route pays a reservation yet.
//!
//! A statement that changes the permits and a reservation locks the permits first, so no two of them can deadlock.

use std::time::Duration;

use chrono::{DateTime, Datelike, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::Cents;

/// The longest that a hold may be, in seconds.
const LONGEST_HOLD: u32 = 24 * 60 * 60;

/// What a new sale needs.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewSale {
    /// What is sold.
    #[garde(length(chars, min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// Number of pieces. With 0, every buyer waits.
    #[garde(range(min = 0, max = 1_000_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub stock: i64,
    /// Price of a piece.
    #[garde(custom(more_than_nothing))]
    #[schema(value_type = f64, exclusive_minimum = 0)]
    pub price: Cents,
    /// Seconds for which a reservation is held.
    #[garde(range(min = 1, max = LONGEST_HOLD))]
    #[schema(minimum = 1, maximum = 86_400)]
    pub hold_seconds: u32,
    /// When the sale opens. Without it, the sale is open at once.
    #[garde(inner(custom(a_year_of_four_digits)))]
    pub opens_at: Option<DateTime<Utc>>,
}

fn more_than_nothing(price: &Cents, _: &()) -> garde::Result {
    if *price > Cents(0) { Ok(()) } else { Err(garde::Error::new("it is not more than 0")) }
}

/// PostgreSQL cannot store every time that can be written.
fn a_year_of_four_digits(time: &DateTime<Utc>, _: &()) -> garde::Result {
    match time.year() {
        1..=9999 => Ok(()),
        _ => Err(garde::Error::new("the year is not from 1 to 9999")),
    }
}

/// A sale. `available + held + paid = stock`.
#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sale {
    /// Stable id.
    pub id: Uuid,
    /// What is sold.
    pub name: String,
    /// Price of a piece.
    #[sqlx(rename = "price_cents")]
    pub price: Cents,
    /// When it begins.
    pub opens_at: DateTime<Utc>,
    /// Pieces at the beginning.
    pub stock: i64,
    /// Pieces that are neither held nor paid for.
    pub available: i64,
    /// Pieces that are held for a buyer.
    pub held: i64,
    /// Pieces that are paid.
    pub paid: i64,
    /// Buyers on the waiting list.
    pub waiting: i64,
}

/// A buyer's reservation of a piece.
#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// Stable id.
    pub id: Uuid,
    /// The sale.
    pub sale_id: Uuid,
    /// waiting, held, paid, expired or cancelled.
    pub status: String,
    /// Incremented by each transition.
    pub version: i32,
    /// When the hold ends or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// The place in the waiting list, from 1. Places after 1,000 are all shown as 1,001.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<i64>,
}

/// Why there is no reservation.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// Nothing is sold under this id.
    #[error("there is no sale {0}")]
    UnknownSale(Uuid),
    /// It has not begun.
    #[error("the sale opens at {}", .0.to_rfc3339())]
    NotOpen(DateTime<Utc>),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Adds a sale.
pub async fn insert(pool: &PgPool, sale: &NewSale) -> sqlx::Result<Sale> {
    let id = Uuid::now_v7();
    let mut db = pool.begin().await?;
    sqlx::query(
        "INSERT INTO sales (id, name, stock, price_cents, hold_ms, opens_at)
         VALUES ($1, $2, $3, $4, $5::bigint * 1000, coalesce($6, now()))",
    )
    .bind(id)
    .bind(&sale.name)
    .bind(sale.stock)
    .bind(sale.price)
    .bind(i64::from(sale.hold_seconds))
    .bind(sale.opens_at)
    .execute(&mut *db)
    .await?;
    sqlx::query("INSERT INTO sale_permits (sale_id, stock) VALUES ($1, $2)")
        .bind(id)
        .bind(sale.stock)
        .execute(&mut *db)
        .await?;
    let sale = find(&mut *db, id).await?.ok_or(sqlx::Error::RowNotFound)?;
    db.commit().await?;
    Ok(sale)
}

/// The sale with this id and its current counts.
pub async fn find(executor: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<Sale>> {
    sqlx::query_as(
        "SELECT id, name, price_cents, opens_at, sales.stock, sales.stock - held - paid AS available, held, paid,
             (SELECT count(*) FROM reservations AS r WHERE r.sale_id = sales.id AND status = 'waiting') AS waiting
         FROM sales JOIN sale_permits ON sale_id = id WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(executor)
    .await
}

/// A query of a [`Reservation`]'s columns: a hold whose time is over is shown as expired before anybody has noted it.
macro_rules! reservation {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " id, sale_id, version, expires_at,
                CASE WHEN status = 'held' AND expires_at <= clock_timestamp() THEN 'expired' ELSE status END AS status,
                CASE WHEN status = 'waiting' THEN 1 + (
                    SELECT count(*) FROM (
                        SELECT FROM reservations AS other
                        WHERE other.sale_id = reservations.sale_id AND other.status = 'waiting' AND other.ticket < reservations.ticket
                        LIMIT 1000
                    ) AS ahead
                ) END AS position ",
            $after
        )
    };
}
/// Takes a permit if there is one and nobody waits, inserts the reservation as held or waiting, and leaves the confirmation of a hold as a job:
/// one statement, all of it or nothing. None when the sale is not open.
///
/// # Errors
/// Those of the database; see [`is_second_click`].
pub async fn acquire(
    executor: impl PgExecutor<'_>,
    sale: Uuid,
    buyer: Uuid,
) -> sqlx::Result<Option<Reservation>> {
    sqlx::query_as(reservation!(
        "WITH open AS (
             SELECT id, hold_ms FROM sales WHERE id = $1 AND opens_at <= now()
         ), permit AS (
             UPDATE sale_permits SET held = held + 1 FROM open
             WHERE sale_id = open.id AND held + paid < stock
                 AND NOT EXISTS (SELECT FROM reservations WHERE sale_id = $1 AND status = 'waiting')
                 AND NOT EXISTS (
                     SELECT FROM reservations
                     WHERE sale_id = $1 AND buyer_id = $2 AND status IN ('waiting', 'held', 'paid')
                 )
             RETURNING hold_ms
         ), reserved AS (
             INSERT INTO reservations (id, sale_id, buyer_id, status, expires_at)
             SELECT $3, open.id, $2, CASE WHEN hold_ends IS NULL THEN 'waiting' ELSE 'held' END, hold_ends
             FROM open LEFT JOIN (
                 SELECT clock_timestamp() + hold_ms * interval '1 millisecond' AS hold_ends FROM permit
             ) AS held ON true
             RETURNING *
         ), job AS (
             INSERT INTO sale_jobs (reservation_id, kind) SELECT id, 'confirmation' FROM reserved WHERE status = 'held'
         )
         SELECT",
        "FROM reserved AS reservations"
    ))
    .bind(sale)
    .bind(buyer)
    .bind(Uuid::now_v7())
    .fetch_optional(executor)
    .await
}

/// A sale that is open.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct OpenSale {
    /// Stable id.
    pub id: Uuid,
    /// Pieces that are neither held nor paid for.
    pub available: i64,
}

/// The sale with this id, if it is open.
pub async fn open(db: &mut PgConnection, id: Uuid) -> Result<OpenSale, ReserveError> {
    let sale = sqlx::query_as(
        "SELECT id, sales.stock - held - paid AS available FROM sales JOIN sale_permits ON sale_id = id
         WHERE id = $1 AND opens_at <= now()",
    );
    match sale.bind(id).fetch_optional(&mut *db).await? {
        Some(sale) => Ok(sale),
        None => Err(not_open(db, id).await?),
    }
}

/// Locks the permits of a sale until the transaction ends.
pub async fn lock(db: &mut PgConnection, sale: Uuid) -> sqlx::Result<()> {
    sqlx::query("SELECT FROM sale_permits WHERE sale_id = $1 FOR UPDATE")
        .bind(sale)
        .execute(db)
        .await
        .map(drop)
}

/// Takes one of a sale's permits. The caller knows that there is one.
pub async fn take_permit(executor: impl PgExecutor<'_>, sale: Uuid) -> sqlx::Result<()> {
    sqlx::query("UPDATE sale_permits SET held = held + 1 WHERE sale_id = $1")
        .bind(sale)
        .execute(executor)
        .await
        .map(drop)
}

/// Whether a buyer waits for a piece of this sale.
pub async fn has_waiting(executor: impl PgExecutor<'_>, sale: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM reservations WHERE sale_id = $1 AND status = 'waiting')")
        .bind(sale)
        .fetch_one(executor)
        .await
}

/// Inserts a reservation: held if the caller has taken a permit for it, otherwise waiting.
pub async fn insert_reservation(
    executor: impl PgExecutor<'_>,
    sale: Uuid,
    buyer: Uuid,
    held: bool,
) -> sqlx::Result<Reservation> {
    sqlx::query_as(reservation!(
        "INSERT INTO reservations (id, sale_id, buyer_id, status, expires_at)
         SELECT $1, id, $2, CASE WHEN $3 THEN 'held' ELSE 'waiting' END,
             CASE WHEN $3 THEN clock_timestamp() + hold_ms * interval '1 millisecond' END
         FROM sales WHERE id = $4 RETURNING",
        ""
    ))
    .bind(Uuid::now_v7())
    .bind(buyer)
    .bind(held)
    .bind(sale)
    .fetch_one(executor)
    .await
}

/// Holds a piece for a buyer who waits. The caller has taken a permit for it. Says whether the buyer was still waiting.
pub async fn hold(executor: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<bool> {
    let held = sqlx::query(
        "UPDATE reservations SET status = 'held', version = version + 1,
             expires_at = clock_timestamp() + hold_ms * interval '1 millisecond'
         FROM sales WHERE reservations.id = $1 AND sales.id = sale_id AND status = 'waiting'",
    )
    .bind(id)
    .execute(executor)
    .await?;
    Ok(held.rows_affected() == 1)
}

/// Leaves a confirmation to be sent, unless there is such a job already.
pub async fn insert_job(executor: impl PgExecutor<'_>, reservation: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO sale_jobs (reservation_id, kind) VALUES ($1, 'confirmation') ON CONFLICT DO NOTHING",
    )
    .bind(reservation)
    .execute(executor)
    .await
    .map(drop)
}

/// Whether an insert failed because the buyer already has a reservation: a second click that has waited for the first one.
pub fn is_second_click(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.constraint() == Some("reservations_active"))
}

/// Why a reservation is refused: the sale is unknown or not open yet.
pub async fn not_open(executor: impl PgExecutor<'_>, sale: Uuid) -> sqlx::Result<ReserveError> {
    let opens_at = sqlx::query_scalar("SELECT opens_at FROM sales WHERE id = $1")
        .bind(sale)
        .fetch_optional(executor)
        .await?;
    Ok(opens_at.map_or(ReserveError::UnknownSale(sale), ReserveError::NotOpen))
}

/// The buyer's reservation that is not over, if there is one. A hold whose time is over is noted, so that the buyer may reserve again.
pub async fn current(db: &mut PgConnection, sale: Uuid, buyer: Uuid) -> sqlx::Result<Option<Reservation>> {
    match active(&mut *db, sale, buyer).await? {
        Some(reservation) if reservation.status == "expired" => {
            expire(db, reservation.id).await.map(|_| None)
        }
        current => Ok(current),
    }
}

/// The buyer's reservation that is not noted to be over, if there is one.
pub async fn active(
    executor: impl PgExecutor<'_>,
    sale: Uuid,
    buyer: Uuid,
) -> sqlx::Result<Option<Reservation>> {
    sqlx::query_as(reservation!(
        "SELECT",
        "FROM reservations WHERE sale_id = $1 AND buyer_id = $2 AND status IN ('waiting', 'held', 'paid')"
    ))
    .bind(sale)
    .bind(buyer)
    .fetch_optional(executor)
    .await
}

/// The reservation with this id, if it is the buyer's.
pub async fn find_reservation(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    buyer: Uuid,
) -> sqlx::Result<Option<Reservation>> {
    sqlx::query_as(reservation!("SELECT", "FROM reservations WHERE id = $1 AND buyer_id = $2"))
        .bind(id)
        .bind(buyer)
        .fetch_optional(executor)
        .await
}

/// Locks the permits of the sale of reservation `$1`.
macro_rules! permits_of_reservation {
    ($rest:literal) => {
        concat!(
            "WITH permits AS (
                 SELECT sale_id FROM sale_permits WHERE sale_id = (SELECT sale_id FROM reservations WHERE id = $1) FOR UPDATE
             ), ",
            $rest
        )
    };
}

/// A reservation that was cancelled.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct Cancelled {
    /// The sale.
    pub sale_id: Uuid,
    /// Whether it was held, so that its piece is free now.
    pub was_held: bool,
}

/// Cancels a reservation that waits or is held, and gives its permit back. None when there is no such reservation of this buyer.
pub async fn cancel(executor: impl PgExecutor<'_>, id: Uuid, buyer: Uuid) -> sqlx::Result<Option<Cancelled>> {
    sqlx::query_as(permits_of_reservation!(
        "before AS (
             SELECT id, status FROM reservations JOIN permits USING (sale_id) WHERE id = $1 AND buyer_id = $2
                 AND (status = 'waiting' OR status = 'held' AND expires_at > clock_timestamp())
             FOR UPDATE OF reservations
         ), cancelled AS (
             UPDATE reservations SET status = 'cancelled', version = version + 1 FROM before
             WHERE reservations.id = before.id RETURNING sale_id, before.status = 'held' AS was_held
         ), released AS (
             UPDATE sale_permits SET held = held - 1 FROM cancelled
             WHERE sale_permits.sale_id = cancelled.sale_id AND was_held
         )
         SELECT sale_id, was_held FROM cancelled"
    ))
    .bind(id)
    .bind(buyer)
    .fetch_optional(executor)
    .await
}

/// Notes that a hold is over, and gives its permit back. Says whether it was over and not noted yet.
pub async fn expire(executor: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<bool> {
    let released = sqlx::query(permits_of_reservation!(
        "expired AS (
             UPDATE reservations SET status = 'expired', version = version + 1 FROM permits
             WHERE id = $1 AND reservations.sale_id = permits.sale_id AND status = 'held' AND expires_at <= clock_timestamp()
             RETURNING permits.sale_id
         )
         UPDATE sale_permits SET held = held - 1 FROM expired WHERE sale_permits.sale_id = expired.sale_id"
    ))
    .bind(id)
    .execute(executor)
    .await?;
    Ok(released.rows_affected() == 1)
}

/// The sales with expired holds to note, or with free pieces and buyers who wait.
pub async fn to_pass_on(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT sale_id FROM sale_permits AS permits
         WHERE held > 0 AND EXISTS (
                 SELECT FROM reservations AS r
                 WHERE r.sale_id = permits.sale_id AND status = 'held' AND expires_at <= clock_timestamp()
             ) OR held + paid < stock AND EXISTS (
                 SELECT FROM reservations AS r WHERE r.sale_id = permits.sale_id AND status = 'waiting'
             )
         ORDER BY sale_id",
    )
    .fetch_all(executor)
    .await
}

/// Notes that holds of a sale are over, `most` at most, and gives their permits back. Returns how many.
pub async fn expire_due(executor: impl PgExecutor<'_>, sale: Uuid, most: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "WITH permits AS (
             SELECT sale_id FROM sale_permits WHERE sale_id = $1 FOR UPDATE
         ), due AS MATERIALIZED (
             SELECT id FROM reservations JOIN permits USING (sale_id)
             WHERE status = 'held' AND expires_at <= clock_timestamp()
             ORDER BY expires_at LIMIT $2 FOR UPDATE OF reservations
         ), expired AS (
             UPDATE reservations SET status = 'expired', version = version + 1
             FROM due WHERE reservations.id = due.id RETURNING reservations.id
         ), released AS (
             UPDATE sale_permits SET held = held - (SELECT count(*) FROM expired) WHERE sale_id = $1
         )
         SELECT count(*) FROM expired",
    )
    .bind(sale)
    .bind(most)
    .fetch_one(executor)
    .await
}

/// Gives a sale's free pieces to the buyers who have waited longest, `most` at most. Returns how many.
pub async fn promote(executor: impl PgExecutor<'_>, sale: Uuid, most: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "WITH permits AS (
             SELECT sale_id, stock - held - paid AS free FROM sale_permits WHERE sale_id = $1 FOR UPDATE
         ), next AS MATERIALIZED (
             SELECT id FROM reservations JOIN permits USING (sale_id) WHERE status = 'waiting'
             ORDER BY ticket LIMIT (SELECT least(free, $2) FROM permits) FOR UPDATE OF reservations
         ), promoted AS (
             UPDATE reservations SET status = 'held', version = version + 1,
                 expires_at = clock_timestamp() + hold_ms * interval '1 millisecond'
             FROM next, sales WHERE reservations.id = next.id AND sales.id = $1
             RETURNING reservations.id
         ), taken AS (
             UPDATE sale_permits SET held = held + (SELECT count(*) FROM promoted) WHERE sale_id = $1
         ), job AS (
             INSERT INTO sale_jobs (reservation_id, kind) SELECT id, 'confirmation' FROM promoted
         )
         SELECT count(*) FROM promoted",
    )
    .bind(sale)
    .bind(most)
    .fetch_one(executor)
    .await
}

/// Something that a reservation has left to do.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Job {
    /// Whose it is.
    pub reservation_id: Uuid,
    /// Such as `confirmation`.
    pub kind: String,
    /// How often somebody has taken it, this time included.
    pub attempts: i32,
    /// What the reservation is now.
    pub status: String,
}

/// Takes jobs that are due, `most` at most. Each is due again after `lease`, unless it is [done](finish_job) by then.
pub async fn take_jobs(executor: impl PgExecutor<'_>, most: i64, lease: Duration) -> sqlx::Result<Vec<Job>> {
    sqlx::query_as(
        "WITH due AS MATERIALIZED (
             SELECT reservation_id, kind FROM sale_jobs WHERE due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
         )
         UPDATE sale_jobs SET attempts = attempts + 1, due_at = clock_timestamp() + $2 * interval '1 second'
         FROM due JOIN reservations ON reservations.id = due.reservation_id
         WHERE (sale_jobs.reservation_id, sale_jobs.kind) = (due.reservation_id, due.kind)
         RETURNING sale_jobs.reservation_id, sale_jobs.kind, attempts,
             CASE WHEN status = 'held' AND expires_at <= clock_timestamp() THEN 'expired' ELSE status END AS status",
    )
    .bind(most)
    .bind(lease.as_secs_f64())
    .fetch_all(executor)
    .await
}

/// Removes a job that is done.
pub async fn finish_job(executor: impl PgExecutor<'_>, job: &Job) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM sale_jobs WHERE reservation_id = $1 AND kind = $2")
        .bind(job.reservation_id)
        .bind(&job.kind)
        .execute(executor)
        .await?;
    Ok(())
}

/// Has a job done again after this time.
pub async fn put_off_job(executor: impl PgExecutor<'_>, job: &Job, time: Duration) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE sale_jobs SET due_at = clock_timestamp() + $3 * interval '1 second'
         WHERE reservation_id = $1 AND kind = $2",
    )
    .bind(job.reservation_id)
    .bind(&job.kind)
    .bind(time.as_secs_f64())
    .execute(executor)
    .await?;
    Ok(())
}
