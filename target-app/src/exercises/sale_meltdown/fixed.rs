use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    // Acquired and written down in one statement, with the work that is left to do. Nobody else waits for longer than that takes, and
    // nobody who is acknowledged waits for the mail.
    Ok(sales::reserve(desk.pool, sale, buyer).await?)
}
