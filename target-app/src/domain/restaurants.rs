//! Restaurants, their menus and orders. Every read starts from the tenant.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::Cents;
use super::pages::Page;
use super::whole::whole;

/// A restaurant.
#[derive(Debug, Clone, Serialize, sqlx::FromRow, ToSchema)]
pub struct Restaurant {
    /// Stable id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// The tenant's restaurants.
pub async fn of_tenant(executor: impl PgExecutor<'_>, tenant: &str) -> sqlx::Result<Vec<Restaurant>> {
    sqlx::query_as("SELECT id, name FROM restaurants WHERE tenant_id = $1 ORDER BY id")
        .bind(tenant)
        .fetch_all(executor)
        .await
}

/// The restaurant with this id, if it is the tenant's.
pub async fn find(executor: impl PgExecutor<'_>, tenant: &str, id: Uuid) -> sqlx::Result<Option<Restaurant>> {
    sqlx::query_as("SELECT id, name FROM restaurants WHERE tenant_id = $1 AND id = $2")
        .bind(tenant)
        .bind(id)
        .fetch_optional(executor)
        .await
}

/// A dish on a menu.
#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MenuItem {
    /// Stable id.
    pub id: Uuid,
    /// Unique on its menu.
    pub name: String,
    /// Price of a portion.
    #[sqlx(rename = "price_cents")]
    pub price: Cents,
    /// Portions left.
    #[sqlx(rename = "stock")]
    pub inventory: i32,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// What a new dish needs.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewMenuItem {
    /// Unique on its menu, without the character NUL, which PostgreSQL cannot store.
    #[garde(length(chars, min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200, pattern = "^[^\\u0000]*$")]
    pub name: String,
    /// Price of a portion, with at most two decimal places.
    #[garde(custom(affordable))]
    #[schema(value_type = f64, minimum = 0, maximum = 1_000_000)]
    pub price: Cents,
    /// Portions to begin with.
    #[serde(deserialize_with = "whole")]
    #[garde(range(min = 0, max = 1_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub inventory: i32,
}

/// A million units, in cents. The total of the largest order stays far below what 64 bits hold.
const MOST_EXPENSIVE: Cents = Cents(100_000_000);

fn affordable(price: &Cents, _: &()) -> garde::Result {
    match *price {
        price if price < Cents(0) => Err(garde::Error::new("lower than 0")),
        price if price > MOST_EXPENSIVE => Err(garde::Error::new(format!("greater than {MOST_EXPENSIVE}"))),
        _ => Ok(()),
    }
}

/// The whole menu, in the order it was written.
pub async fn menu(executor: impl PgExecutor<'_>, restaurant: Uuid) -> sqlx::Result<Vec<MenuItem>> {
    sqlx::query_as(
        "SELECT id, name, price_cents, stock, created_at FROM menu_items
         WHERE restaurant_id = $1 ORDER BY created_at, id",
    )
    .bind(restaurant)
    .fetch_all(executor)
    .await
}

/// Adds a dish. A name that the menu has already breaks the constraint `menu_items_name`.
pub async fn add_to_menu(
    executor: impl PgExecutor<'_>,
    restaurant: Uuid,
    dish: &NewMenuItem,
) -> sqlx::Result<MenuItem> {
    sqlx::query_as(
        "INSERT INTO menu_items (id, restaurant_id, name, price_cents, stock) VALUES ($1, $2, $3, $4, $5)
         RETURNING id, name, price_cents, stock, created_at",
    )
    .bind(Uuid::now_v7())
    .bind(restaurant)
    .bind(&dish.name)
    .bind(dish.price)
    .bind(dish.inventory)
    .fetch_one(executor)
    .await
}

/// What a guest orders.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewMeal {
    /// One line a dish: a dish that is listed twice is refused.
    #[garde(length(min = 1, max = 50), dive, custom(no_dish_twice))]
    #[schema(min_items = 1, max_items = 50)]
    pub items: Vec<NewMealItem>,
}

/// One line of an order.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewMealItem {
    /// Which dish.
    #[garde(skip)]
    pub menu_item_id: Uuid,
    /// Portions.
    #[serde(deserialize_with = "whole")]
    #[garde(range(min = 1, max = 1_000))]
    #[schema(minimum = 1, maximum = 1_000)]
    pub quantity: i32,
}

fn no_dish_twice(items: &[NewMealItem], _: &()) -> garde::Result {
    let mut seen = std::collections::HashSet::new();
    match items.iter().find(|item| !seen.insert(item.menu_item_id)) {
        Some(item) => Err(garde::Error::new(format!(
            "dish {} is listed twice; add the quantities up",
            item.menu_item_id
        ))),
        None => Ok(()),
    }
}

/// An order in a restaurant.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Meal {
    /// Sorts by the time of the order.
    pub id: Uuid,
    /// pending, completed or cancelled.
    pub status: String,
    /// What was agreed.
    pub total: Cents,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Null until the guest was told.
    pub notification_sent_at: Option<DateTime<Utc>>,
    /// What was ordered.
    pub items: Vec<MealItem>,
}

/// One line of an order in a restaurant.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MealItem {
    /// Which dish.
    pub menu_item_id: Uuid,
    /// Its name.
    pub name: String,
    /// Portions.
    pub quantity: i32,
    /// Price of a portion when the order was placed, in cents inside the database.
    pub unit_price: Cents,
}

/// One page of a restaurant's orders, newest first, and how many there are.
pub async fn meals(pool: &PgPool, restaurant: Uuid, page: Page) -> sqlx::Result<(Vec<Meal>, i64)> {
    type Row = (Uuid, String, Cents, DateTime<Utc>, Option<DateTime<Utc>>, sqlx::types::Json<Vec<MealItem>>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT o.id, o.status, o.total_cents, o.created_at, o.notification_sent_at,
                (SELECT coalesce(jsonb_agg(jsonb_build_object(
                            'menuItemId', i.menu_item_id, 'name', d.name, 'quantity', i.quantity,
                            'unitPrice', i.unit_price_cents / 100.0) ORDER BY i.menu_item_id), '[]')
                 FROM restaurant_order_items AS i JOIN menu_items AS d ON d.id = i.menu_item_id
                 WHERE i.order_id = o.id)
         FROM restaurant_orders AS o
         WHERE o.restaurant_id = $1 ORDER BY o.created_at DESC, o.id DESC LIMIT $2 OFFSET $3",
    )
    .bind(restaurant)
    .bind(page.limit)
    .bind(page.offset())
    .fetch_all(pool)
    .await?;
    let total = sqlx::query_scalar("SELECT count(*) FROM restaurant_orders WHERE restaurant_id = $1")
        .bind(restaurant)
        .fetch_one(pool)
        .await?;
    let meals = rows.into_iter().map(|(id, status, total, created_at, notification_sent_at, items)| Meal {
        id,
        status,
        total,
        created_at,
        notification_sent_at,
        items: items.0,
    });
    Ok((meals.collect(), total))
}

/// Why an order in a restaurant was not placed.
#[derive(Debug, thiserror::Error)]
pub enum MealError {
    /// The menu has no such dish.
    #[error("the menu has no dish {0}")]
    UnknownDish(Uuid),
    /// Fewer portions are left than were ordered.
    #[error("fewer than {wanted} portions of dish {dish} are left")]
    ShortStock {
        /// The dish.
        dish: Uuid,
        /// Portions ordered.
        wanted: i32,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Takes the portions and writes the order, or neither.
pub async fn place_meal(pool: &PgPool, restaurant: Uuid, meal: &NewMeal) -> Result<Meal, MealError> {
    let mut lines: Vec<&NewMealItem> = meal.items.iter().collect();
    // Every order takes the dishes' rows in the same sequence, so that two of them cannot wait for each other.
    lines.sort_by_key(|line| line.menu_item_id);

    let mut transaction = pool.begin().await?;
    let mut items = Vec::with_capacity(lines.len());
    for line in lines {
        items.push(take_portions(&mut transaction, restaurant, line).await?);
    }
    let placed = Meal {
        id: Uuid::now_v7(),
        status: "pending".into(),
        total: items.iter().map(|item| item.unit_price.times(item.quantity)).sum(),
        created_at: chrono::SubsecRound::trunc_subsecs(Utc::now(), 6),
        notification_sent_at: None,
        items,
    };
    sqlx::query(
        "WITH placed AS (
             INSERT INTO restaurant_orders (id, restaurant_id, status, total_cents, created_at)
             VALUES ($1, $2, $3, $4, $5)
         )
         INSERT INTO restaurant_order_items (order_id, menu_item_id, quantity, unit_price_cents)
         SELECT $1, * FROM UNNEST($6::uuid[], $7::integer[], $8::bigint[])",
    )
    .bind(placed.id)
    .bind(restaurant)
    .bind(&placed.status)
    .bind(placed.total)
    .bind(placed.created_at)
    .bind(placed.items.iter().map(|item| item.menu_item_id).collect::<Vec<_>>())
    .bind(placed.items.iter().map(|item| item.quantity).collect::<Vec<_>>())
    .bind(placed.items.iter().map(|item| item.unit_price.0).collect::<Vec<_>>())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(placed)
}

async fn take_portions(
    connection: &mut PgConnection,
    restaurant: Uuid,
    line: &NewMealItem,
) -> Result<MealItem, MealError> {
    let taken: Option<(String, Cents)> = sqlx::query_as(
        "UPDATE menu_items SET stock = stock - $3
         WHERE id = $2 AND restaurant_id = $1 AND stock >= $3 RETURNING name, price_cents",
    )
    .bind(restaurant)
    .bind(line.menu_item_id)
    .bind(line.quantity)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some((name, unit_price)) = taken {
        return Ok(MealItem { menu_item_id: line.menu_item_id, name, quantity: line.quantity, unit_price });
    }
    let known: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM menu_items WHERE id = $2 AND restaurant_id = $1)")
            .bind(restaurant)
            .bind(line.menu_item_id)
            .fetch_one(connection)
            .await?;
    Err(if known {
        MealError::ShortStock { dish: line.menu_item_id, wanted: line.quantity }
    } else {
        MealError::UnknownDish(line.menu_item_id)
    })
}
