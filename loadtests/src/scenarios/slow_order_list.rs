//! `slow-order-list`: a customer with many orders looks at them, and buys more, while others look at products.

mod contract;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, ensure};
use rand_pcg::Pcg64;
use reqwest::Method;
use target_app::exercises::slow_order_list::EXERCISE;
use uuid::Uuid;

use self::contract::ensure_right;
use super::{Clause, Shape, Spec, TIMEOUT};
use crate::api::Api;
use crate::checks::crowds::OtherTransaction;
use crate::checks::statements::Growth;
use crate::checks::{Audit, Findings, crowds, pages};
use crate::load::{Answer, Load, Outcome, Request, Ticket, lock, status_reason};
use crate::shop::{self, Cart, Order, Product};

/// Products that are bought when the load is over: enough that none sells out.
const PRODUCTS_BOUGHT: usize = 8;
/// How often many customers look at one moment.
const CROWDS: usize = 5;

pub struct Scenario;

impl super::Scenario for Scenario {
    const SPEC: &'static Spec = &Spec {
        exercise: &EXERCISE,
        shape: pages::SHAPE,
        total_rate: pages::total_rate,
        needs: &[("list", 50), ("product", 50)],
        patience: TIMEOUT,
        // As the product page.
        reference_statements: 1,
        limits: pages::LIMITS,
        needs_schedule: false,
        server: &[],
        providers: false,
    };

    type Round = Round;

    async fn contract(api: &Api, clause: &mut Clause) -> anyhow::Result<()> {
        contract::check(api, clause).await
    }

    async fn prepare(api: &Api, shape: &Shape, mut rng: Pcg64) -> anyhow::Result<(Round, Vec<Ticket>)> {
        pages::restock(api).await?;
        let heavy = shop::user(api, shop::HEAVY_USER).await?.id;
        let before = shop::orders(api, heavy).await?;
        let products = shop::products(api).await?;
        let products = shop::most_in_stock(products.values(), PRODUCTS_BOUGHT);
        let Product { id: product, inventory, .. } =
            **products.first().context("the shop has no products")?;
        let products: Vec<Uuid> = products.iter().map(|product| product.id).collect();
        let light = contract::light_user(api).await?;
        // Orders that no list has had yet, so that nothing is kept of them.
        let new = shop::user(api, shop::NEW_USER).await?.id;
        if let Some(mut database) = api.database().await? {
            shop::copy_orders(&mut database, heavy, light, 1).await?;
            shop::copy_orders(&mut database, heavy, new, 120).await?;
        }
        let counted = async |user| Ok(shop::orders(api, user).await?.len() as i64);
        let growth = Growth::measure(api, counted(light), counted(new)).await?;

        let cart = Cart::of(heavy, &[(product, 1)]);
        let list = Request::get("list", format!("/orders/{heavy}"));
        let page = Request::get("product", format!("/products/{product}"));
        let order = Request::post("order", "/orders/checkout", cart.json());
        let tickets = pages::tickets(&mut rng, shape, &list, &page, &order, inventory)?;
        let round = Round {
            shape: *shape,
            heavy,
            light,
            cart,
            products,
            before,
            growth,
            placed: Mutex::default(),
            seen: Mutex::default(),
        };
        Ok((round, tickets))
    }

    fn objectives(load: &Load) -> Findings {
        pages::objectives(&EXERCISE, load, "list", "product")
    }
}

/// The orders in a list that were not there before the load, and when it was asked for, from the start of the load.
struct Seen {
    new: Vec<Order>,
    sent: Duration,
}

pub struct Round {
    shape: Shape,
    heavy: Uuid,
    /// Who has few orders.
    light: Uuid,
    /// What the heavy user buys during the load, and products of which there are many.
    cart: Cart,
    products: Vec<Uuid>,
    /// The heavy user's list before the load.
    before: Vec<Order>,
    growth: Growth,
    /// Orders by their ids, with when they were confirmed, from the start of the load.
    placed: Mutex<HashMap<Uuid, (Order, Duration)>>,
    seen: Mutex<Vec<Seen>>,
}

impl super::Round for Round {
    fn describe(&self, servers: &str) -> String {
        let lists = format!("lists of a customer with {} orders", self.before.len());
        pages::describe(&self.shape, servers, &lists, "product pages", "new orders")
    }

    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome {
        match (request.name, answer.status) {
            ("order", 201) => match Order::read(answer.body) {
                Ok(order) => {
                    lock(&self.placed).insert(order.id, (order, answer.done));
                    Outcome::Ok
                }
                Err(_) => Outcome::Failed("not-an-order"),
            },
            ("list" | pages::LEAVES, 200) => match self.new_orders(answer.body) {
                Some(new) => {
                    lock(&self.seen).push(Seen { new, sent: answer.sent });
                    Outcome::Ok
                }
                None => Outcome::Failed(pages::WRONG),
            },
            (_, 200) => Outcome::Ok,
            (_, status) => Outcome::Failed(status_reason(status)),
        }
    }

    async fn audit(&self, api: &Api, load: &Load) -> anyhow::Result<Audit> {
        let afterwards = self.afterwards(api).await;
        let mut audit = pages::answers(&EXERCISE, "lists-right", load, "list", self.stale(), afterwards);
        self.growth.judge(&EXERCISE, "orders", "list", &mut audit);
        Ok(audit)
    }
}

impl Round {
    /// The orders in a list that were not there before the load, if all others are as they were and in the right sequence.
    fn new_orders(&self, body: &[u8]) -> Option<Vec<Order>> {
        let mut list = Order::read_list(body).ok()?;
        let new = list.len().checked_sub(self.before.len())?;
        let sorted = list.is_sorted_by(Order::is_listed_before);
        let as_bought = |order: &Order| order.cart() == self.cart;
        let right = sorted && list[new..] == self.before && list[..new].iter().all(as_bought);
        list.truncate(new);
        right.then_some(list)
    }

    /// Lists without an order that had been confirmed before they were asked for, or with one that is not as it was confirmed.
    fn stale(&self) -> usize {
        let (placed, seen) = (lock(&self.placed), lock(&self.seen));
        let stale = seen.iter().filter(|Seen { new, sent }| {
            let listed = |order: &Order| new.contains(order);
            placed.values().any(|(order, done)| done < sent && !listed(order))
        });
        stale.count()
    }

    /// Whether lists are right when the load is over, whoever comes at the same moment, and whatever others do meanwhile.
    async fn afterwards(&self, api: &Api) -> anyhow::Result<()> {
        let list = || shop::orders(api, self.heavy);
        crowds::leave(api, "LOCK TABLE orders", list, ensure_right(api, self.heavy)).await?;
        self.beside_others(api).await?;
        let buy_and_look = async |client: usize| {
            let product = self.products[client % self.products.len()];
            let order = Cart::of(self.heavy, &[(product, 1)]).buy(api).await?;
            let list = shop::orders(api, self.heavy).await?;
            ensure!(
                list.contains(&order),
                "an order that was confirmed is not in the list that was asked for then"
            );
            Ok(())
        };
        crowds::take_turns(buy_and_look).await?;

        crowds::all_at_once(api, Some("LOCK TABLE orders"), |_| ensure_right(api, self.light)).await?;
        // Beside some who have orders, some whom nobody knows.
        let look = async |client: usize| {
            if client.is_multiple_of(2) {
                return ensure_right(api, self.light).await;
            }
            let unknown = format!("/orders/{}", Uuid::now_v7());
            api.ask(Method::GET, &unknown, None, None).await?.with_status(404).map(drop)
        };
        for _ in 0..CROWDS {
            crowds::all_at_once(api, None, look).await?;
        }
        ensure_right(api, self.heavy).await
    }

    /// Whether lists are right while somebody else's transactions are under way.
    async fn beside_others(&self, api: &Api) -> anyhow::Result<()> {
        let checkout = "SELECT FROM products FOR NO KEY UPDATE";
        if let Some(other) = OtherTransaction::begin(api, checkout).await? {
            let reading =
                crowds::in_time("a checkout had begun that has not ended", ensure_right(api, self.heavy));
            reading.await?;
            other.commit().await?;
        }

        // An order that was begun earlier than another one and is there later.
        if let Some(mut other) = OtherTransaction::begin(api, "SELECT").await? {
            shop::copy_orders(other.connection(), self.heavy, self.light, 1).await?;
            Cart { user_id: self.light, ..self.cart.clone() }.buy(api).await?;
            ensure_right(api, self.light).await?;
            other.commit().await?;
            ensure_right(api, self.light).await?;
        }

        // An order that comes between two statements of one request: the list has it or does not, and is whole.
        if let Some(mut other) = OtherTransaction::begin(api, "LOCK TABLE order_items").await? {
            let newest = async || {
                let page = shop::order_page(api, self.light, "?limit=2").await?;
                let recorded =
                    shop::recorded_orders(api, self.light).await?.context("the lab's own database")?;
                let (new, old) = (&recorded[..2], &recorded[1..3]);
                ensure!(page == new || page == old, "an order came meanwhile, and the newest are {page:?}");
                Ok(())
            };
            let comes = async {
                other.holds_up(1).await?;
                shop::copy_orders(other.connection(), self.heavy, self.light, 1).await?;
                other.commit().await
            };
            futures::try_join!(newest(), comes)?;
        }
        Ok(())
    }
}
