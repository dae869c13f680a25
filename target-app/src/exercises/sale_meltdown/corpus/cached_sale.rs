use std::sync::LazyLock;
use std::time::Duration;

use moka::sync::Cache;

use super::*;

/// Sales as they were within the last second. When a sale is over, everybody would read the same.
static SALES: LazyLock<Cache<Uuid, OpenSale>> =
    LazyLock::new(|| Cache::builder().max_capacity(1_000).time_to_live(Duration::from_secs(1)).build());

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.begin().await?;
    let sale = match SALES.get(&sale) {
        Some(sale) => sale,
        None => {
            let open = sales::open(&mut db, sale).await?;
            SALES.insert(sale, open.clone());
            open
        }
    };
    if let Some(reservation) = sales::active(&mut *db, sale.id, buyer).await? {
        return Ok(reservation);
    }

    let held = sale.available > 0 && !sales::has_waiting(&mut *db, sale.id).await?;
    let reservation = match sales::insert_reservation(&mut *db, sale.id, buyer, held).await {
        Ok(reservation) => reservation,
        Err(error) if sales::is_second_click(&error) => {
            db.rollback().await?;
            return Ok(sales::active(desk.pool, sale.id, buyer).await?.ok_or(sqlx::Error::RowNotFound)?);
        }
        Err(error) => return Err(error.into()),
    };
    if held {
        sales::insert_job(&mut *db, reservation.id).await?;
        // Last, so that the row is locked for the commit only. The table's constraint refuses what is not there.
        sales::take_permit(&mut *db, sale.id).await?;
    }
    db.commit().await?;
    if held {
        // There is one less: whoever comes next looks again.
        SALES.invalidate(&sale.id);
    }
    Ok(reservation)
}
