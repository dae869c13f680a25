//! What a checkout with an idempotency key promises to a single client.

use anyhow::ensure;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Attempt;
use crate::api::Api;
use crate::hint::Hinted;
use crate::payments::{self, EMPTY_CARD, GOOD_CARD};
use crate::scenarios::Clause;
use crate::shop::{self, Cart, Order};

pub(super) async fn check(api: &Api, clause: &mut Clause) -> anyhow::Result<()> {
    let user = shop::user(api, shop::NEW_USER).await?.id;
    let products = shop::products(api).await?;
    let in_stock = products.values().filter(|product| product.inventory >= 20 && product.price.0 > 0);
    let in_stock: Vec<Uuid> = in_stock.map(|product| product.id).collect();
    let [one, other, ..] = in_stock.as_slice() else {
        return Err(Hinted::unseeded("fewer than two products have 20 pieces in stock").into());
    };
    let before = api.providers()?.ledger("payments").await?.len();
    let first = Attempt::new(Cart::of(user, &[(*one, 2), (*other, 1)]), GOOD_CARD);

    clause.is("a checkout needs an idempotency key of 1 to 255 visible characters, and does nothing without");
    api.post(super::CHECKOUT, None, &first.body).await?.with_status(400)?;
    for key in ["", "two words", &"k".repeat(256)] {
        api.post_with_key(super::CHECKOUT, key, &first.body).await?.with_status(400)?;
    }
    payments::ensure_charged(api, before, &[]).await?;

    clause.is("a checkout gives an order of its cart that is paid and is in the customer's list, and charges its total");
    let order = first.confirmed(api).await?;
    if let Some(flaw) = first.differs(&order, &products) {
        anyhow::bail!("{flaw}");
    }
    ensure!(
        shop::orders(api, user).await? == [order.clone()],
        "the list has not exactly the order that was confirmed"
    );
    let stock = shop::product(api, *one).await?.inventory;
    ensure!(
        stock == products[one].inventory - 2,
        "2 of {} were bought, and {stock} are left",
        products[one].inventory
    );
    payments::ensure_charged(api, before, &[&order]).await?;

    clause.is("the same checkout with the same key gets the same response, and nothing is done again");
    for _ in 0..3 {
        let again = first.confirmed(api).await?;
        ensure!(
            again == order,
            "the first response was order {}, and now it is order {} of {}",
            order.id,
            again.id,
            again.created_at
        );
    }
    let quoted = format!("\"{}\"", first.key);
    let reply = api.post_with_key(super::CHECKOUT, &quoted, &first.body).await?.with_status(201)?;
    ensure!(Order::read(&reply.body)? == order, "the key is another one when it is in quotes");
    ensure!(
        shop::orders(api, user).await?.len() == 1,
        "a checkout that was repeated has placed another order"
    );
    payments::ensure_charged(api, before, &[&order]).await?;

    clause.is("the key of one checkout is refused with 422 for another one");
    let somebody = shop::users(api).await?.into_iter().map(|user| user.id).find(|id| *id != user);
    for (member, value) in [
        ("cardLast4", json!("1881")),
        ("paymentMethod", json!("invoice")),
        ("userId", json!(somebody.unwrap_or_default())),
        ("items", json!([{ "productId": one, "quantity": 1 }])),
        // As many pieces of the same products.
        ("items", json!([{ "productId": one, "quantity": 1 }, { "productId": other, "quantity": 2 }])),
    ] {
        let mut body = first.body.clone();
        body[member] = value;
        api.post_with_key(super::CHECKOUT, &first.key, &body).await?.with_status(422)?;
    }

    clause.is("the same cart with a new key is a new checkout");
    let second = Attempt::new(Cart::of(user, &[(*one, 2), (*other, 1)]), GOOD_CARD);
    let next = second.confirmed(api).await?;
    ensure!(next.id != order.id, "two checkouts have one order");
    payments::ensure_charged(api, before, &[&order, &next]).await?;

    clause.is("keys are alike when every character is, and capitals are other characters");
    let mut charged = vec![order.clone(), next.clone()];
    for end in ["a", "b", "A"] {
        let key = format!("{:k<254}{end}", second.key);
        let alike = Attempt { key, ..Attempt::new(Cart::of(user, &[(*one, 1)]), GOOD_CARD) };
        charged.push(alike.confirmed(api).await?);
        payments::ensure_charged(api, before, &charged.iter().collect::<Vec<_>>()).await?;
    }

    clause.is("what cannot be bought is refused, and nothing is charged");
    let too_many = Cart::of(user, &[(*one, 1), (*other, 1_000_000_000)]);
    for (cart, status) in [
        (Cart::of(user, &[(Uuid::now_v7(), 1)]), 422),
        (Cart::of(Uuid::now_v7(), &[(*one, 1)]), 422),
        (Cart::of(user, &[]), 422),
        (too_many, 422),
        (Cart::of(user, &[(*one, 1), (*other, 1_000_000)]), 409),
    ] {
        let attempt = Attempt::new(cart, GOOD_CARD);
        // As a million pieces may be in stock, it is asked for what is there and one more.
        if status == 409 && products[other].inventory >= 1_000_000 {
            continue;
        }
        attempt.send(api).await?.with_status(status)?;
    }
    let mut no_card = second.body.clone();
    no_card["cardLast4"] = Value::Null;
    api.post_with_key(super::CHECKOUT, "no-card", &no_card).await?.with_status(422)?;

    clause.is("a card that is declined buys nothing, however often it is sent, and another card with a new key does");
    let stock = shop::product(api, *one).await?.inventory;
    let declined = Attempt::new(Cart::of(user, &[(*one, 1)]), EMPTY_CARD);
    for _ in 0..2 {
        declined.send(api).await?.with_status(402)?;
    }
    let mut other_card = declined.body.clone();
    other_card["cardLast4"] = json!(GOOD_CARD);
    api.post_with_key(super::CHECKOUT, &declined.key, &other_card).await?.with_status(422)?;
    let left = shop::product(api, *one).await?.inventory;
    ensure!(left == stock, "a card was declined, and {left} of {stock} pieces are left");
    let paid = Attempt::new(Cart::of(user, &[(*one, 1)]), GOOD_CARD).confirmed(api).await?;
    charged.push(paid);
    payments::ensure_charged(api, before, &charged.iter().collect::<Vec<_>>()).await?;

    clause.is("the customer's list has the orders that are paid, and no other that is not cancelled");
    let mut listed = shop::orders(api, user).await?;
    listed.retain(|order| order.status != "cancelled");
    charged.reverse();
    ensure!(listed == charged, "the list has other orders than those that were confirmed");
    api.ask(Method::GET, super::CHECKOUT, None, None).await?.with_status(405).map(drop)
}
