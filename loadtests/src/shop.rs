//! The shop as its API shows it: what contracts, loads and audits of its exercises have in common.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use target_app::domain::money::Cents;
use uuid::Uuid;

use crate::api::{Api, Reply};
use crate::hint::Hinted;

/// The user of the seeded data who has 120 orders.
pub const HEAVY_USER: &str = "heavy.user@example.com";

/// The user of the seeded data who never bought anything.
pub const NEW_USER: &str = "new.user@example.com";

/// How far the clock of a server may be from ours.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    /// Stable id.
    pub id: Uuid,
    /// Address.
    pub email: String,
    /// Full name.
    pub name: String,
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Product {
    /// Stable id.
    pub id: Uuid,
    /// Shown to the buyer.
    pub name: String,
    /// Of one piece.
    pub price: Cents,
    /// Pieces in stock. Read as 32 bits, so that audits can add up whatever a foreign server claims.
    pub inventory: i32,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Stable id.
    pub id: Uuid,
    /// Who bought.
    pub user_id: Uuid,
    /// pending, paid, shipped or cancelled.
    pub status: String,
    /// What was agreed.
    pub total: Cents,
    /// When.
    pub created_at: DateTime<Utc>,
    /// What was bought, in the sequence of the products.
    pub items: Vec<OrderItem>,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderItem {
    /// Which product.
    pub product_id: Uuid,
    /// Its name.
    pub name: String,
    /// Pieces.
    pub quantity: i32,
    /// Price of a piece when the order was placed.
    pub unit_price: Cents,
}

/// What a buyer asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cart {
    /// Who buys.
    pub user_id: Uuid,
    /// What, one line a product.
    pub items: Vec<CartItem>,
}

/// One line of a cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CartItem {
    /// Which product.
    pub product_id: Uuid,
    /// Pieces.
    pub quantity: i32,
}

impl Order {
    /// The order with its lines in the sequence of their products: no API promises one.
    fn sorted(mut self) -> Self {
        self.items.sort_by_key(|item| item.product_id);
        self
    }

    /// An order in an answer.
    pub fn read(body: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice::<Order>(body).map(Order::sorted)
    }

    /// The orders in an answer.
    pub fn read_list(body: &[u8]) -> serde_json::Result<Vec<Self>> {
        let orders: Vec<Order> = serde_json::from_slice(body)?;
        Ok(orders.into_iter().map(Order::sorted).collect())
    }

    /// Whether this one comes before `other` in a list, newest first.
    pub fn is_listed_before(&self, other: &Order) -> bool {
        (self.created_at, self.id) > (other.created_at, other.id)
    }

    /// The cart that it is an order of.
    pub fn cart(&self) -> Cart {
        let items = self.items.iter();
        let items = items.map(|item| CartItem { product_id: item.product_id, quantity: item.quantity });
        Cart { user_id: self.user_id, items: items.collect() }
    }
}

impl Cart {
    /// A cart with these products and quantities.
    pub fn of(user_id: Uuid, items: &[(Uuid, i32)]) -> Self {
        let item = |&(product_id, quantity): &(Uuid, i32)| CartItem { product_id, quantity };
        Cart { user_id, items: items.iter().map(item).collect() }
    }

    /// Its JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a cart is JSON")
    }

    /// The cart with its lines in the sequence of their products.
    pub fn sorted(mut self) -> Self {
        self.items.sort();
        self
    }

    /// Sends it to the checkout.
    pub async fn check_out(&self, api: &Api) -> anyhow::Result<Reply> {
        api.post("/orders/checkout", None, &json!(self)).await
    }

    /// Has it confirmed.
    pub async fn buy(&self, api: &Api) -> anyhow::Result<Order> {
        let reply = self.check_out(api).await?.with_status(201)?;
        Order::read(&reply.body).context("the answer to a checkout is not an order")
    }

    /// What keeps `order`, which is to have this status, from being the confirmation of this cart, if anything.
    pub fn differs(&self, order: &Order, status: &str, products: &BTreeMap<Uuid, Product>) -> Option<String> {
        let ordered = self.clone().sorted();
        if order.user_id != self.user_id {
            return Some("the order is another user's".into());
        }
        if order.cart() != ordered {
            return Some("the order has other products or quantities than the cart".into());
        }
        let mut total = Cents(0);
        for item in &order.items {
            let Some(product) = products.get(&item.product_id) else {
                return Some(format!("the order has the product {}, which is not sold", item.product_id));
            };
            if item.unit_price != product.price || item.name != product.name {
                return Some(format!(
                    "the order has '{}' at {}, and the catalogue '{}' at {}",
                    item.name, item.unit_price, product.name, product.price
                ));
            }
            total.0 += product.price.times(item.quantity).0;
        }
        if order.total != total {
            return Some(format!("the order's total is {}, and its lines come to {total}", order.total));
        }
        if order.status != status {
            return Some(format!("the order is to be {status}, and it is {}", order.status));
        }
        let age = (Utc::now() - order.created_at).abs();
        if age.to_std().is_ok_and(|age| age > CLOCKS_DIFFER) {
            return Some(format!("the order is of {}, and it is {} now", order.created_at, Utc::now()));
        }
        None
    }
}

/// All users.
pub async fn users(api: &Api) -> anyhow::Result<Vec<User>> {
    api.get("/users", None).await
}

/// The user of the seeded data with this address.
pub async fn user(api: &Api, email: &str) -> anyhow::Result<User> {
    let users: Vec<User> = api.get(&format!("/users?email={email}"), None).await?;
    let user = users.into_iter().find(|user| user.email == email);
    Ok(user.ok_or_else(|| Hinted::unseeded(format!("the server has no user {email}")))?)
}

/// All products, by their ids.
pub async fn products(api: &Api) -> anyhow::Result<BTreeMap<Uuid, Product>> {
    let products: Vec<Product> = api.pages("/products", None, "products").await?;
    Ok(products.into_iter().map(|product| (product.id, product)).collect())
}

/// One product.
pub async fn product(api: &Api, id: Uuid) -> anyhow::Result<Product> {
    api.get(&format!("/products/{id}"), None).await
}

/// All of a user's orders, newest first.
pub async fn orders(api: &Api, user: Uuid) -> anyhow::Result<Vec<Order>> {
    order_page(api, user, "").await
}

/// The part of a user's orders that a query such as `?limit=20` asks for.
pub async fn order_page(api: &Api, user: Uuid, query: &str) -> anyhow::Result<Vec<Order>> {
    let path = format!("/orders/{user}{query}");
    Order::read_list(&api.bytes(&path, None).await?)
        .with_context(|| format!("GET {path} did not answer with the JSON that it should"))
}

/// All of a user's orders, newest first, as the database has them; none of a foreign server's.
pub async fn recorded_orders(api: &Api, user: Uuid) -> anyhow::Result<Option<Vec<Order>>> {
    type Row = (Uuid, String, i64, DateTime<Utc>, Uuid, String, i32, i64);
    let Some(mut database) = api.database().await? else { return Ok(None) };
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT o.id, o.status, o.total_cents, o.created_at, p.id, p.name, i.quantity, i.unit_price_cents
         FROM orders AS o JOIN order_items AS i ON i.order_id = o.id JOIN products AS p ON p.id = i.product_id
         WHERE o.user_id = $1 ORDER BY o.created_at DESC, o.id DESC, p.id",
    )
    .bind(user)
    .fetch_all(&mut database)
    .await?;
    let orders = rows.chunk_by(|one, next| one.0 == next.0).map(|lines| {
        let (id, status, total, created_at, ..) = lines[0].clone();
        let item = |line: &Row| {
            let (.., product_id, name, quantity, cents) = line.clone();
            OrderItem { product_id, name, quantity, unit_price: Cents(cents) }
        };
        Order {
            id,
            user_id: user,
            status,
            total: Cents(total),
            created_at,
            items: lines.iter().map(item).collect(),
        }
    });
    Ok(Some(orders.collect()))
}

/// Gives a user copies of the oldest orders of another one, as new ones: somebody else's work in the servers' database.
pub async fn copy_orders(database: &mut PgConnection, from: Uuid, to: Uuid, orders: i64) -> sqlx::Result<()> {
    sqlx::query(
        "WITH originals AS MATERIALIZED (
             SELECT id, gen_random_uuid() AS copy, status, total_cents FROM orders
             WHERE user_id = $1 ORDER BY created_at LIMIT $3
         ), copies AS (
             INSERT INTO orders (id, user_id, status, total_cents, created_at)
             SELECT copy, $2, status, total_cents, clock_timestamp() FROM originals
         )
         INSERT INTO order_items (order_id, product_id, quantity, unit_price_cents)
         SELECT copy, product_id, quantity, unit_price_cents FROM originals JOIN order_items ON order_id = id",
    )
    .bind(from)
    .bind(to)
    .bind(orders)
    .execute(database)
    .await?;
    Ok(())
}

/// So many of some products, those first of which there is most.
pub fn most_in_stock<'a>(products: impl IntoIterator<Item = &'a Product>, count: usize) -> Vec<&'a Product> {
    let mut products: Vec<&Product> = products.into_iter().collect();
    products.sort_by_key(|product| (Reverse(product.inventory), product.id));
    products.truncate(count);
    products
}

/// Products of which one order has a piece at most, so that none of them sells out.
const ORDERED: usize = 8;

/// Orders that are being placed at a time.
const AT_A_TIME: usize = 8;

/// Has some users place so many orders of one piece each, of products that cost something.
///
/// # Errors
/// When there is not enough in stock.
pub async fn place_orders(api: &Api, count: usize) -> anyhow::Result<Vec<Order>> {
    let users: Vec<Uuid> = users(api).await?.into_iter().map(|user| user.id).collect();
    let products = products(api).await?;
    let sold = products.values().filter(|product| product.price > Cents(0));
    let products = most_in_stock(sold, ORDERED);
    if users.is_empty() || products.is_empty() {
        return Err(Hinted::unseeded("there are no users, or no products").into());
    }
    let carts = (0..count).map(|nth| {
        let (user, product) = (users[nth % users.len()], products[nth % products.len()].id);
        Cart::of(user, &[(product, 1)])
    });
    let orders = futures::stream::iter(carts).map(async |cart| cart.buy(api).await);
    orders.buffered(AT_A_TIME).try_collect().await
}

/// The shop's whole state: what there is, and what was bought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// By their ids.
    pub products: BTreeMap<Uuid, Product>,
    /// Those of the users who were asked for, by their ids.
    pub orders: BTreeMap<Uuid, Order>,
}

impl Books {
    /// Reads them, with the orders of `users`.
    pub async fn read(api: &Api, users: &[Uuid]) -> anyhow::Result<Self> {
        let mut books = Books { products: products(api).await?, orders: BTreeMap::new() };
        for user in users {
            for order in orders(api, *user).await? {
                ensure!(order.user_id == *user, "GET /orders/{user} lists an order of {}", order.user_id);
                books.orders.insert(order.id, order);
            }
        }
        Ok(books)
    }

    /// The orders that were not in `before`.
    pub fn new_orders<'a>(&'a self, before: &'a Books) -> impl Iterator<Item = &'a Order> {
        self.orders.values().filter(|order| !before.orders.contains_key(&order.id))
    }
}

/// Pieces of each product in some orders.
pub fn pieces<'a>(orders: impl IntoIterator<Item = &'a Order>) -> BTreeMap<Uuid, i64> {
    let mut pieces = BTreeMap::new();
    for item in orders.into_iter().flat_map(|order| &order.items) {
        *pieces.entry(item.product_id).or_default() += i64::from(item.quantity);
    }
    pieces
}
