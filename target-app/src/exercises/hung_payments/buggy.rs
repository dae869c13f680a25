use super::*;

pub async fn process(
    pool: &PgPool,
    providers: &Providers,
    request: &PaymentRequest,
    screening: Screening,
) -> Result<Payment, PaymentError> {
    let mut db = pool.begin().await?;
    let payment = payments::begin(&mut db, request).await?;
    if payment.is_settled() {
        return Ok(payment);
    }

    let (key, order) = (payment.id.to_string(), payment.order_id.to_string());
    let card = card(request, &order);
    let approved = screening == Screening::None || providers.check_fraud(&card).await?;
    let charge = if approved { providers.charge(&key, &card).await? } else { None };

    let payment = payments::settle(&mut db, &payment, settled_by(charge)).await?;
    db.commit().await?;
    Ok(payment)
}
