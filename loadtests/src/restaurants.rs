//! The restaurants as their API shows them: what contracts, loads and audits of their exercises have in common.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;
use target_app::domain::money::Cents;
use uuid::Uuid;

use crate::api::{Api, Reply};

/// The tenant of the seeded data with the busy restaurant.
pub const TENANT: &str = "tenant-1";

/// Another tenant of the seeded data, with the restaurant that has the longest list of orders.
pub const OTHER_TENANT: &str = "tenant-2";

/// A restaurant.
#[derive(Debug, Clone, Copy)]
pub struct Restaurant {
    /// Whose.
    pub tenant: &'static str,
    /// Stable id.
    pub id: Uuid,
}

impl Restaurant {
    /// The path of something that it has, such as its `menu`.
    pub fn path(&self, what: &str) -> String {
        format!("/restaurants/{}/{what}", self.id)
    }

    /// Its menu, by the dishes' ids.
    pub async fn menu(&self, api: &Api) -> anyhow::Result<BTreeMap<Uuid, Dish>> {
        let dishes: Vec<Dish> = api.get(&self.path("menu"), Some(self.tenant)).await?;
        Ok(dishes.into_iter().map(|dish| (dish.id, dish)).collect())
    }

    /// All its orders.
    pub async fn meals(&self, api: &Api) -> anyhow::Result<Vec<Meal>> {
        api.pages(&self.path("orders"), Some(self.tenant), "orders").await
    }

    /// Orders some dishes.
    pub async fn order(&self, api: &Api, items: &[(Uuid, i32)]) -> anyhow::Result<Reply> {
        api.post(&self.path("orders"), Some(self.tenant), &meal(items)).await
    }

    /// Whatever its analytics are answered with.
    pub async fn analytics(&self, api: &Api) -> anyhow::Result<Reply> {
        api.ask(Method::GET, &self.path("analytics"), Some(self.tenant), None).await
    }
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
pub async fn of_tenant(api: &Api, tenant: &'static str) -> anyhow::Result<Vec<Restaurant>> {
    #[derive(Deserialize)]
    struct Listed {
        id: Uuid,
    }
    let listed: Vec<Listed> = api.get("/restaurants", Some(tenant)).await?;
    Ok(listed.into_iter().map(|Listed { id }| Restaurant { tenant, id }).collect())
}

/// The JSON of an order of some dishes.
pub fn meal(items: &[(Uuid, i32)]) -> serde_json::Value {
    let item = |(id, quantity): &(Uuid, i32)| serde_json::json!({ "menuItemId": id, "quantity": quantity });
    serde_json::json!({ "items": items.iter().map(item).collect::<Vec<_>>() })
}
