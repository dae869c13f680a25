//! The analytics that a restaurant's orders come to, added up one by one.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde::Deserialize;
use target_app::domain::money::Cents;
use target_app::exercises::slow_analytics::TOP_ITEMS;
use uuid::Uuid;

use crate::api::Api;
use crate::restaurants::{self, Dish, Restaurant, TENANT};

/// What a server says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Analytics {
    pub total_orders: i64,
    pub total_revenue: Cents,
    pub average_order_value: Cents,
    pub top_items: Vec<TopItem>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TopItem {
    pub menu_item_id: Uuid,
    pub name: String,
    pub quantity: i64,
    pub revenue: Cents,
}

/// What it must say, and what that rests on.
#[derive(Debug, Clone)]
pub(super) struct Sums {
    pub menu: BTreeMap<Uuid, Dish>,
    pub orders: i64,
    revenue: i64,
    /// Portions sold of each dish, and what they came to, in cents.
    sold: BTreeMap<Uuid, (i64, i64)>,
}

impl Sums {
    /// Adds up the restaurant's orders.
    pub async fn read(api: &Api, restaurant: Restaurant) -> anyhow::Result<Self> {
        let menu = restaurant.menu(api).await?;
        let mut sums = Sums { menu, orders: 0, revenue: 0, sold: BTreeMap::new() };
        for meal in restaurant.meals(api).await?.iter().filter(|meal| meal.status != "cancelled") {
            let lines = meal.items.iter().map(|line| (line.menu_item_id, line.quantity, line.unit_price));
            sums.add(meal.total, lines, 1);
        }
        Ok(sums)
    }

    /// The same, and `times` more orders with this total and these lines: dish, portions, price of one.
    pub fn add(&mut self, total: Cents, lines: impl IntoIterator<Item = (Uuid, i32, Cents)>, times: i64) {
        self.orders += times;
        // What a stranger claims may be beyond any number; then it is not what the sums come to.
        self.revenue = self.revenue.saturating_add(total.0.saturating_mul(times));
        for (dish, quantity, price) in lines {
            let (portions, cents) = self.sold.entry(dish).or_default();
            let quantity = i64::from(quantity).saturating_mul(times);
            *portions = portions.saturating_add(quantity);
            *cents = cents.saturating_add(price.0.saturating_mul(quantity));
        }
    }

    /// The analytics of these orders.
    pub fn analytics(&self) -> Analytics {
        Analytics {
            total_orders: self.orders,
            total_revenue: Cents(self.revenue),
            average_order_value: average(self.revenue, self.orders),
            top_items: self.top_items(),
        }
    }

    pub fn top_items(&self) -> Vec<TopItem> {
        let mut items: Vec<TopItem> = self
            .sold
            .iter()
            .map(|(id, (quantity, cents))| TopItem {
                menu_item_id: *id,
                name: self.menu.get(id).map(|dish| dish.name.clone()).unwrap_or_default(),
                quantity: *quantity,
                revenue: Cents(*cents),
            })
            .collect();
        items.sort_by_key(|item| (-item.quantity, item.menu_item_id));
        items.truncate(TOP_ITEMS);
        items
    }
}

/// The tenant's restaurants with their sums, those with the most orders first.
pub(super) async fn of_tenant(api: &Api) -> anyhow::Result<Vec<(Restaurant, Sums)>> {
    let mut sums = Vec::new();
    for restaurant in restaurants::of_tenant(api, TENANT).await? {
        sums.push((restaurant, Sums::read(api, restaurant).await?));
    }
    sums.sort_by_key(|(restaurant, sums)| (-sums.orders, restaurant.id));
    Ok(sums)
}

/// Rounded down to a cent; 0 without orders.
pub(super) fn average(revenue: i64, orders: i64) -> Cents {
    Cents(revenue / orders.max(1))
}

/// Asks for the analytics and compares them with what they must be.
pub(super) async fn ensure_right(api: &Api, restaurant: Restaurant, sums: &Sums) -> anyhow::Result<()> {
    let reply = restaurant.analytics(api).await?;
    let seen: Analytics = reply.with_status(200)?.json()?;
    let must_be = sums.analytics();
    let orders = must_be.total_orders;
    ensure!(seen.total_orders == orders, "of {orders} orders, {} were counted", seen.total_orders);
    let (seen_revenue, revenue) = (seen.total_revenue, must_be.total_revenue);
    ensure!(seen_revenue == revenue, "{orders} orders came to {revenue}, and the revenue is {seen_revenue}");
    let (seen_average, average) = (seen.average_order_value, must_be.average_order_value);
    ensure!(
        seen_average == average,
        "{revenue} by {orders} is {average}, rounded down, and the average is {seen_average}"
    );
    for (nth, item) in must_be.top_items.iter().enumerate() {
        let seen = seen.top_items.get(nth).with_context(|| {
            format!(
                "{} best sellers are listed, and number {} must be '{}'",
                seen.top_items.len(),
                nth + 1,
                item.name
            )
        })?;
        ensure!(
            seen == item,
            "best seller {} must be '{}' ({} sold for {}), and is '{}' ({} for {})",
            nth + 1,
            item.name,
            item.quantity,
            item.revenue,
            seen.name,
            seen.quantity,
            seen.revenue
        );
    }
    let (listed, most) = (seen.top_items.len(), must_be.top_items.len());
    ensure!(listed == most, "{listed} best sellers are listed, and there are {most}");
    Ok(())
}
