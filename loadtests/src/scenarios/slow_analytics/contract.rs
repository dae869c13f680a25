//! What any analytics page promises to a single manager.

use anyhow::{Context, ensure};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use target_app::domain::money::Cents;
use uuid::Uuid;

use super::sums::{self, Sums, ensure_right};
use crate::api::Api;
use crate::hint::Hinted;
use crate::restaurants::{self, Dish, Meal, OTHER_TENANT, Restaurant, TENANT};
use crate::scenarios::Clause;

/// Portions of a dish that costs a million: more cents than 32 bits hold.
const PORTIONS: i32 = 50;

pub(super) async fn check(api: &Api, clause: &mut Clause) -> anyhow::Result<()> {
    clause.is("the restaurants, their menus and their orders can be read");
    let mut sums = sums::of_tenant(api).await?;
    clause.is("a restaurant's revenue, orders, average and best sellers are those of its orders");
    for (restaurant, sums) in sums.iter().filter(|(_, sums)| sums.orders > 0) {
        ensure_right(api, *restaurant, sums).await?;
    }
    clause.is("where nobody has ordered yet, everything is 0 and nothing is listed");
    let (empty, mut nothing) = sums.pop().ok_or_else(|| Hinted::unseeded("the tenant has no restaurant"))?;
    ensure_right(api, empty, &nothing).await?;

    clause.is("an order is in the next answer, however large it is");
    let (busy, mut much) =
        sums.into_iter().next().ok_or_else(|| Hinted::unseeded("there is only one restaurant"))?;
    for (restaurant, sums) in [(busy, &mut much), (empty, &mut nothing)] {
        let dear = add_dish(api, restaurant, Cents(100_000_000)).await?;
        // With quotes, as they are.
        let some = sums.menu.values().next().context("the menu is empty")?.clone();
        sums.menu.insert(dear.id, dear.clone());
        for items in [vec![(dear.id, PORTIONS)], vec![(some.id, 1), (dear.id, 1)], vec![(some.id, 1)]] {
            order(api, restaurant, &items, sums).await?;
            ensure_right(api, restaurant, sums).await?;
        }
    }

    clause.is("a restaurant with many orders is no exception");
    let long = longest_list(api).await?;
    ensure_right(api, long, &Sums::read(api, long).await?).await?;

    clause.is("another tenant's restaurant does not exist, nor does one that nobody has");
    let unknown = Restaurant { id: Uuid::now_v7(), ..busy };
    for restaurant in [Restaurant { tenant: TENANT, ..long }, unknown] {
        restaurant.analytics(api).await?.with_status(404)?;
    }
    api.ask(Method::GET, &busy.path("analytics"), None, None).await?.with_status(400)?;
    Ok(())
}

/// The other tenant's restaurant with the longest list of orders.
pub(super) async fn longest_list(api: &Api) -> anyhow::Result<Restaurant> {
    #[derive(Deserialize)]
    struct Page {
        pagination: Pagination,
    }
    #[derive(Deserialize)]
    struct Pagination {
        total: i64,
    }
    let mut longest = None;
    for restaurant in restaurants::of_tenant(api, OTHER_TENANT).await? {
        let page = format!("{}?page=1&limit=1", restaurant.path("orders"));
        let page: Page = api.get(&page, Some(OTHER_TENANT)).await?;
        longest = longest.max(Some((page.pagination.total, restaurant.id)));
    }
    let (_, id) = longest.ok_or_else(|| Hinted::unseeded("the other tenant has no restaurant"))?;
    Ok(Restaurant { tenant: OTHER_TENANT, id })
}

/// Puts a dish on the menu under a name that has to be escaped, and that no menu has yet.
async fn add_dish(api: &Api, restaurant: Restaurant, price: Cents) -> anyhow::Result<Dish> {
    let name = format!("Whole \"ox\", 100% \\ <b>'é'</b> {}", Uuid::now_v7().simple());
    let dish = json!({ "name": name, "price": price, "inventory": 1_000 });
    api.post(&restaurant.path("menu"), Some(restaurant.tenant), &dish).await?.with_status(201)?.json()
}

/// Orders dishes, and adds the order to the sums.
async fn order(
    api: &Api,
    restaurant: Restaurant,
    items: &[(Uuid, i32)],
    sums: &mut Sums,
) -> anyhow::Result<()> {
    let meal: Meal = restaurant.order(api, items).await?.with_status(201)?.json()?;
    let total: Cents = items.iter().map(|(id, quantity)| sums.menu[id].price.times(*quantity)).sum();
    ensure!(meal.total == total, "an order for {total} is confirmed for {}", meal.total);
    let prices: Vec<_> = items.iter().map(|(id, quantity)| (*id, *quantity, sums.menu[id].price)).collect();
    sums.add(total, prices, 1);
    Ok(())
}
