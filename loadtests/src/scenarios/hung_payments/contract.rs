//! What payments promise to a single client.

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::json;
use simulated_providers::Profile;
use uuid::Uuid;

use crate::api::Api;
use crate::payments::{self, EMPTY_CARD, GOOD_CARD, PROCESS, PROCESS_SIMPLE, Payment, STOLEN_CARD, pay};
use crate::scenarios::Clause;
use crate::shop::{self, Order};

/// Cards of each kind that somebody tries in a row, to find one that works.
const THIEF_TRIES: usize = 24;

pub(super) async fn check(api: &Api, clause: &mut Clause) -> anyhow::Result<()> {
    let orders: [Order; 6] = shop::place_orders(api, 6).await?.try_into().expect("as many as were asked for");
    let [first, second, declined, denied, simple, refused] = &orders;
    let before = api.providers()?.ledger("payments").await?.len();

    clause.is("a pending order is paid: the card is charged the order's total once, and the order is paid");
    let payment = payments::ensure_paid(api, PROCESS, first, GOOD_CARD).await?;
    payments::ensure_charged(api, before, &[first]).await?;
    ensure!(status(api, first).await? == "paid", "an order was paid and is {}", status(api, first).await?);

    clause.is("a payment can be read, and a payment that nobody made is 404");
    let read: Payment = api.get(&format!("/api/payments/{}", payment.id), None).await?;
    ensure!(read == payment, "the payment is {read:?}, and it was {payment:?}");
    let unknown = format!("/api/payments/{}", Uuid::now_v7());
    api.ask(Method::GET, &unknown, None, None).await?.with_status(404)?;

    clause.is("whoever pays an order again gets the same payment, and nothing more is charged");
    for path in [PROCESS, PROCESS_SIMPLE] {
        let again = payments::ensure_paid(api, path, first, GOOD_CARD).await?;
        ensure!(again == payment, "the payment of a paid order is {again:?}, and it was {payment:?}");
    }
    payments::ensure_charged(api, before, &[first]).await?;

    clause.is("what cannot be paid is refused, and nothing is charged");
    let mut wrong_amount = payments::body(second, GOOD_CARD);
    wrong_amount["amount"] = json!(second.total.times(2));
    let mut nobodys = payments::body(second, GOOD_CARD);
    nobodys["orderId"] = json!(Uuid::now_v7());
    let no_card = payments::body(second, "42x2");
    for body in [wrong_amount, nobodys, no_card] {
        api.post(PROCESS, None, &body).await?.with_status(422)?;
    }
    if let Some(shipped) = settled_order(api).await? {
        pay(api, PROCESS, &shipped, GOOD_CARD).await?.with_status(409)?;
    }
    payments::ensure_charged(api, before, &[first]).await?;

    clause.is("a card that is declined pays nothing, and another card then does");
    pay(api, PROCESS, declined, EMPTY_CARD).await?.with_status(402)?;
    ensure!(status(api, declined).await? == "pending", "an order is paid with a card that was declined");
    payments::ensure_paid(api, PROCESS, declined, GOOD_CARD).await?;

    clause.is("a card that the fraud check denies is not charged, unless the payment goes without the check");
    pay(api, PROCESS, denied, STOLEN_CARD).await?.with_status(402)?;
    payments::ensure_charged(api, before, &[first, declined]).await?;
    payments::ensure_paid(api, PROCESS_SIMPLE, simple, STOLEN_CARD).await?;

    clause.is("cards that are not accepted, however many, do not keep others from paying");
    for card in [STOLEN_CARD, EMPTY_CARD] {
        for _ in 0..THIEF_TRIES {
            pay(api, PROCESS, denied, card).await?.with_status(402)?;
        }
    }
    payments::ensure_paid(api, PROCESS, second, GOOD_CARD).await?;
    payments::ensure_charged(api, before, &[first, declined, simple, second]).await?;

    clause.is("while the fraud check is out of service, a payment is 503 with Retry-After; afterwards it can be made");
    let providers = api.providers()?;
    let calm = providers.profile("fraud").await?;
    providers.set_profile("fraud", &Profile { refused_share: 1.0, ..calm }).await?;
    let reply = pay(api, PROCESS, refused, GOOD_CARD).await;
    providers.set_profile("fraud", &calm).await?;
    let reply = reply?.with_status(503)?;
    ensure!(reply.headers.contains_key("retry-after"), "503 has no Retry-After");
    payments::ensure_paid(api, PROCESS, refused, GOOD_CARD).await?;

    clause.is("every order that was paid was charged once, and no other");
    payments::ensure_charged(api, before, &[first, second, declined, simple, refused]).await
}

/// An order that somebody has paid, or that was shipped or cancelled.
async fn settled_order(api: &Api) -> anyhow::Result<Option<Order>> {
    let heavy = shop::user(api, shop::HEAVY_USER).await?.id;
    let orders = shop::order_page(api, heavy, "?limit=100").await?;
    Ok(orders.into_iter().find(|order| order.status == "shipped"))
}

async fn status(api: &Api, order: &Order) -> anyhow::Result<String> {
    let orders = shop::orders(api, order.user_id).await?;
    let found = orders.into_iter().find(|other| other.id == order.id);
    Ok(found.with_context(|| format!("order {} is not listed", order.id))?.status)
}
