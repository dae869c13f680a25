//! What any shop's checkout promises to a single buyer.

use std::cmp::Reverse;

use anyhow::{Context, ensure};
use uuid::Uuid;

use crate::api::Api;
use crate::hint::Hinted;
use crate::scenarios::Clause;
use crate::shop::{self, Books, Cart, Order, Product};

/// Refusals in a row: more than any pool has connections, so that one lost with each is missed.
const REFUSALS: usize = 25;

pub(super) async fn check(api: &Api, clause: &mut Clause) -> anyhow::Result<()> {
    clause.is("the catalogue, the users and their orders can be read");
    let users: Vec<Uuid> = shop::users(api).await?.iter().map(|user| user.id).collect();
    let heavy = shop::user(api, shop::HEAVY_USER).await?.id;
    let others: Vec<Uuid> = users.into_iter().filter(|user| *user != heavy).take(2).collect();
    let &[buyer, other] = others.as_slice() else {
        return Err(Hinted::unseeded("there are fewer than three users").into());
    };
    let mut shop = Shop { api, users: vec![buyer, other], books: Books::read(api, &[buyer, other]).await? };
    let scarce = shop.scarce().ok_or_else(|| Hinted::unseeded("no product is nearly sold out"))?;
    let [odd, dear, cheap, plain, spare] = shop.stocked()?;

    clause.is("an order has the buyer, the products, the quantities and today's prices of the cart, and can be read back");
    let mut items = vec![(cheap.id, 3), (plain.id, 1), (spare.id, 2)];
    // Each sequence of three lines; the last one is descending.
    for turn in [[0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        shop.buys(&Cart::of(buyer, &turn.map(|line| items[line]))).await?;
    }
    clause.is("a product is sold under its name, whatever letters it has, and for sums of any size");
    items = vec![(odd.id, 2), (dear.id, dear.inventory.min(30))];
    shop.buys(&Cart::of(other, &items)).await?;

    clause.is("more than there is cannot be bought, of no product");
    let left = shop.left(plain.id);
    shop.refuses(&Cart::of(buyer, &[(plain.id, left + 1)]), 409).await?;
    clause.is("the last pieces can be bought, and then no more");
    if scarce.inventory > 1 {
        shop.buys(&Cart::of(buyer, &[(scarce.id, scarce.inventory - 1)])).await?;
        shop.refuses(&Cart::of(buyer, &[(scarce.id, 2)]), 409).await?;
    }
    shop.buys(&Cart::of(other, &[(scarce.id, 1)])).await?;
    shop.refuses(&Cart::of(buyer, &[(scarce.id, 1)]), 409).await?;

    clause.is("a cart of which one line is short buys nothing, wherever the line stands");
    for items in [[(plain.id, 1), (scarce.id, 1)], [(scarce.id, 1), (plain.id, 1)]] {
        shop.refuses(&Cart::of(buyer, &items), 409).await?;
    }
    clause.is("a refusal names the product that is short, and none that is not");
    for items in [[(plain.id, 1), (scarce.id, 1)], [(scarce.id, 1), (cheap.id, 1)]] {
        let refusal = Cart::of(buyer, &items).check_out(api).await?.with_status(409)?;
        let refusal = String::from_utf8_lossy(&refusal.body).to_lowercase();
        let named = |(id, _): &&(Uuid, i32)| refusal.contains(&id.to_string());
        let named: Vec<Uuid> = items.iter().filter(named).map(|(id, _)| *id).collect();
        ensure!(named == [scarce.id], "{} is short, and the answer is {refusal}", scarce.id);
    }
    clause.is("a product that the shop does not sell is 422, and then nothing is bought, wherever it stands");
    let unknown = Uuid::now_v7();
    shop.refuses(&Cart::of(buyer, &[(unknown, 1)]), 422).await?;
    for items in [[(plain.id, 2), (unknown, 1)], [(unknown, 1), (plain.id, 2)]] {
        shop.refuses(&Cart::of(buyer, &items), 422).await?;
    }
    clause.is("a buyer whom the shop does not know is 422, and buys nothing");
    shop.refuses(&Cart::of(Uuid::now_v7(), &[(plain.id, 1), (cheap.id, 1)]), 422).await?;
    clause.is("a cart that cannot be one is refused, and buys nothing");
    shop.refuses(&Cart::of(buyer, &[]), 422).await?;
    shop.refuses(&Cart::of(buyer, &[(plain.id, 0)]), 422).await?;
    shop.refuses(&Cart::of(buyer, &[(plain.id, -1), (cheap.id, 1)]), 422).await?;
    shop.refuses(&Cart::of(buyer, &[(plain.id, 1), (plain.id, 1)]), 422).await?;

    clause.is("refusals, one after another, take nothing away from the next buyer");
    let short = Cart::of(buyer, &[(plain.id, 1), (scarce.id, 1)]);
    for _ in 0..REFUSALS {
        short.check_out(api).await?.with_status(409)?;
    }
    shop.buys(&Cart::of(other, &[(cheap.id, 1), (plain.id, 1)])).await
}

struct Shop<'a> {
    api: &'a Api,
    /// Whose orders are in the books.
    users: Vec<Uuid>,
    /// As they must be by now.
    books: Books,
}

impl Shop<'_> {
    /// Buys a cart, and compares the order in the answer, and then the books, with what they must be.
    async fn buys(&mut self, cart: &Cart) -> anyhow::Result<()> {
        let reply = cart.check_out(self.api).await?.with_status(201)?;
        let order = Order::read(&reply.body).context("the answer is not an order")?;
        if let Some(difference) = cart.differs(&order, "pending", &self.books.products) {
            anyhow::bail!("{difference}");
        }
        ensure!(!self.books.orders.contains_key(&order.id), "the order has the id of an earlier one");
        let newest = shop::orders(self.api, cart.user_id).await?.into_iter().next();
        ensure!(
            newest.as_ref() == Some(&order),
            "the order is not, as it was confirmed, the newest of its buyer"
        );
        for item in &cart.items {
            self.books.products.get_mut(&item.product_id).expect("it differs in nothing").inventory -=
                item.quantity;
        }
        self.books.orders.insert(order.id, order);
        self.unchanged("a checkout").await
    }

    /// Has a cart refused, and makes sure that this changed nothing.
    async fn refuses(&self, cart: &Cart, status: u16) -> anyhow::Result<()> {
        cart.check_out(self.api).await?.with_status(status)?;
        self.unchanged("a refused checkout").await
    }

    /// Whether the books are what they must be.
    async fn unchanged(&self, after: &str) -> anyhow::Result<()> {
        let seen = Books::read(self.api, &self.users).await?;
        for (id, product) in &self.books.products {
            let seen =
                seen.products.get(id).with_context(|| format!("{after} took {id} out of the catalogue"))?;
            ensure!(
                seen.inventory == product.inventory,
                "after {after}, {} pieces of '{}' are in stock, and {} must be",
                seen.inventory,
                product.name,
                product.inventory
            );
        }
        let (orders, must_be) = (seen.orders.len(), self.books.orders.len());
        ensure!(orders == must_be, "after {after}, the buyers have {orders} orders, and {must_be} must be");
        ensure!(seen == self.books, "{after} changed what it has nothing to do with");
        Ok(())
    }

    fn left(&self, product: Uuid) -> i32 {
        self.books.products[&product].inventory
    }

    /// Five of which there are many: the one with the most characters in its name that mean something to somebody, the
    /// dearest of the others, and three more.
    fn stocked(&self) -> anyhow::Result<[Product; 5]> {
        let mut stocked: Vec<&Product> =
            self.books.products.values().filter(|product| product.inventory >= 20).collect();
        if stocked.len() < 5 {
            return Err(Hinted::unseeded("fewer than five products have 20 pieces in stock").into());
        }
        stocked.sort_by_key(|product| Reverse(product.name.chars().filter(|c| !c.is_alphanumeric()).count()));
        stocked[1..].sort_by_key(|product| Reverse(product.price));
        // By their ids, so that the sequence in a cart is known.
        stocked[2..].sort_by_key(|product| product.id);
        Ok([0, 1, 2, 3, 4].map(|nth| stocked[nth].clone()))
    }

    /// Of the nearly sold out ones, the one with the most pieces.
    fn scarce(&self) -> Option<Product> {
        let scarce = self.books.products.values().filter(|product| (1..=10).contains(&product.inventory));
        scarce.max_by_key(|product| product.inventory).cloned()
    }
}
