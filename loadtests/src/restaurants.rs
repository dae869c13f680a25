//! The restaurants as their API shows them: what contracts, loads and audits of their exercises have in common.

use std::collections::BTreeMap;

use serde::Deserialize;
use target_app::domain::money::Cents;
use uuid::Uuid;

use crate::api::{Api, Reply};

/// The tenant of the seeded data with the busy restaurant.
pub const TENANT: &str = "tenant-1";

/// Another tenant of the seeded data.
pub const OTHER_TENANT: &str = "tenant-2";

/// A restaurant.
#[derive(Debug, Clone, Deserialize)]
pub struct Restaurant {
    /// Stable id.
    pub id: Uuid,
}

/// A dish on a menu.
#[derive(Debug, Clone, Deserialize)]
pub struct Dish {
    /// Stable id.
    pub id: Uuid,
    /// Unique on its menu.
    pub name: String,
    /// Of a portion, today.
    pub price: Cents,
    /// Portions left.
    pub inventory: i32,
}

/// An order in a restaurant.
#[derive(Debug, Clone, Deserialize)]
pub struct Meal {
    /// Stable id.
    pub id: Uuid,
    /// pending, completed or cancelled.
    pub status: String,
    /// What was agreed.
    pub total: Cents,
    /// What was ordered.
    pub items: Vec<MealItem>,
}

/// One line of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MealItem {
    /// Which dish.
    pub menu_item_id: Uuid,
    /// Portions.
    pub quantity: i32,
    /// Price of a portion when it was ordered.
    pub unit_price: Cents,
}

/// The tenant's restaurants.
pub async fn of_tenant(api: &Api, tenant: &str) -> anyhow::Result<Vec<Restaurant>> {
    api.get("/restaurants", Some(tenant)).await
}

/// A restaurant's menu, by the dishes' ids.
pub async fn menu(api: &Api, restaurant: Uuid) -> anyhow::Result<BTreeMap<Uuid, Dish>> {
    let dishes: Vec<Dish> = api.get(&format!("/restaurants/{restaurant}/menu"), Some(TENANT)).await?;
    Ok(dishes.into_iter().map(|dish| (dish.id, dish)).collect())
}

/// All orders of a restaurant.
pub async fn meals(api: &Api, restaurant: Uuid) -> anyhow::Result<Vec<Meal>> {
    api.pages(&format!("/restaurants/{restaurant}/orders"), Some(TENANT), "orders").await
}

/// The JSON of an order of some dishes.
pub fn meal(items: &[(Uuid, i32)]) -> serde_json::Value {
    let item = |(id, quantity): &(Uuid, i32)| serde_json::json!({ "menuItemId": id, "quantity": quantity });
    serde_json::json!({ "items": items.iter().map(item).collect::<Vec<_>>() })
}

/// Orders some dishes.
pub async fn order(api: &Api, restaurant: Uuid, items: &[(Uuid, i32)]) -> anyhow::Result<Reply> {
    api.post(&format!("/restaurants/{restaurant}/orders"), Some(TENANT), &meal(items)).await
}
