//! What any list of orders promises to a single customer.

use anyhow::{Context, ensure};
use target_app::domain::money::Cents;
use uuid::Uuid;

use crate::api::Api;
use crate::hint::Hinted;
use crate::scenarios::Clause;
use crate::shop::{self, Cart, Order, User};

/// Orders on a page, of which the heavy user's list has many, and none of which ends where the list does.
const PAGE: usize = 7;

pub(super) async fn check(api: &Api, clause: &mut Clause) -> anyhow::Result<()> {
    let heavy = shop::user(api, shop::HEAVY_USER).await?.id;
    let new = shop::user(api, shop::NEW_USER).await?.id;
    let others = shop::users(api).await?.into_iter().map(|user| user.id);
    let some: Vec<Uuid> = others.filter(|user| *user != heavy && *user != new).take(3).collect();

    let [other, ..] = some.as_slice() else {
        return Err(Hinted::unseeded("there are fewer than three users").into());
    };

    clause.is("a list has the customer's orders, newest first, each with its items and what was agreed");
    for user in some.iter().chain([&heavy]) {
        ensure_right(api, *user).await?;
    }
    clause.is("the list of somebody who never bought anything is empty");
    ensure!(shop::orders(api, new).await?.is_empty(), "a customer without orders has some");

    clause.is(
        "an order is first in the next list, as it was confirmed, whoever places it and whatever is in it",
    );
    let mut products: Vec<_> =
        shop::products(api).await?.into_values().filter(|one| one.inventory >= 20).collect();
    products.sort_by_key(|product| (product.price, product.id));
    let [cheap, .., dear] = products.as_slice() else {
        return Err(Hinted::unseeded("fewer than two products have 20 pieces in stock").into());
    };
    for user in [heavy, new, heavy] {
        for items in [vec![(cheap.id, 2)], vec![(dear.id, 15), (cheap.id, 1)]] {
            let order = Cart::of(user, &items).buy(api).await?;
            let list = shop::orders(api, user).await?;
            ensure!(list.first() == Some(&order), "order {} is not first in the list after it", order.id);
            ensure_right(api, user).await?;
        }
    }

    clause.is("pages, each of which begins after the last order of the one before, make up the list");
    let list = shop::orders(api, heavy).await?;
    if list.len() <= PAGE {
        return Err(Hinted::unseeded(format!("{} has no more than {PAGE} orders", shop::HEAVY_USER)).into());
    }
    let mut paged = shop::order_page(api, heavy, &format!("?limit={PAGE}")).await?;
    while let Some(last) = paged.last() {
        let page = shop::order_page(api, heavy, &format!("?limit={PAGE}&after={}", last.id)).await?;
        let (here, expected) = (paged.len(), PAGE.min(list.len().saturating_sub(paged.len())));
        ensure!(page.len() == expected, "after {here} of {} orders, a page has {}", list.len(), page.len());
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    ensure!(paged == list, "the pages have other orders than the list, or another sequence");
    let rest = shop::order_page(api, heavy, &format!("?after={}", list[PAGE].id)).await?;
    ensure!(rest == list[PAGE + 1..], "without a limit, a page is not all that comes after");

    clause.is("nobody has the orders of a customer whom the shop does not know, or a page after somebody else's order");
    let foreign = shop::orders(api, *other).await?.first().map_or_else(Uuid::now_v7, |order| order.id);
    for path in [format!("/orders/{}", Uuid::now_v7()), format!("/orders/{heavy}?after={foreign}")] {
        api.ask(reqwest::Method::GET, &path, None, None).await?.with_status(404)?;
    }
    Ok(())
}

/// Somebody who has a few orders.
pub(super) async fn light_user(api: &Api) -> anyhow::Result<Uuid> {
    let others = |user: &User| user.email != shop::HEAVY_USER && user.email != shop::NEW_USER;
    for user in shop::users(api).await?.into_iter().filter(others) {
        if !shop::orders(api, user.id).await?.is_empty() {
            return Ok(user.id);
        }
    }
    Err(Hinted::unseeded("only one user has orders").into())
}

/// Asks for a user's orders and compares them with what the database has; of a foreign server's database, with themselves.
pub(super) async fn ensure_right(api: &Api, user: Uuid) -> anyhow::Result<()> {
    // Whoever has no connection to spare answers 503, and must not be asked again until it has one.
    let reply =
        api.ask(reqwest::Method::GET, &format!("/orders/{user}"), None, None).await?.with_status(200)?;
    let list = Order::read_list(&reply.body).context("the answer is not a list of orders")?;
    if let Some(recorded) = shop::recorded_orders(api, user).await? {
        ensure!(
            list.len() == recorded.len(),
            "{} orders are listed, and there are {}",
            list.len(),
            recorded.len()
        );
        let differs = list.iter().zip(&recorded).find(|(listed, recorded)| listed != recorded);
        return differs.map_or(Ok(()), |(listed, recorded)| {
            Err(anyhow::anyhow!("listed is {listed:?}, and recorded {recorded:?}"))
        });
    }
    ensure!(list.is_sorted_by(Order::is_listed_before), "the newest order does not come first");
    for order in &list {
        ensure!(order.user_id == user, "order {} is another customer's", order.id);
        let total: Cents = order.items.iter().map(|item| item.unit_price.times(item.quantity)).sum();
        ensure!(order.total == total, "order {} came to {}, and its items to {total}", order.id, order.total);
    }
    Ok(())
}
