//! `oversold-stock`: 1, 8 and 32 carts at once, one piece of the same product in each.

use std::cell::{Cell, OnceCell};

use benches::support::Lab;
use criterion::{BenchmarkId, Criterion, SamplingMode};
use futures::future::join_all;
use sqlx::PgPool;
use sqlx::types::Uuid;
use target_app::domain::orders::{Cart, CartItem};
use target_app::exercises::oversold_stock::{EXERCISE, Service, Variant};

/// Carts that are checked out at once.
const CARTS: [u64; 3] = [1, 8, 32];

/// More pieces than any run sells.
const STOCK: i32 = 1_000_000_000;
const PRICE_CENTS: i64 = 250;

pub fn checkout_by_carts(criterion: &mut Criterion) {
    let lab = Lab::open();
    let mut group = criterion.benchmark_group(EXERCISE.id);
    group.sampling_mode(SamplingMode::Flat);
    for carts in CARTS {
        for variant in Variant::ALL.iter().copied() {
            // A database for each, so that none works among the orders of another.
            let shop = OnceCell::new();
            let id = BenchmarkId::new(variant.entry().name, carts);
            group.bench_function(id, |bencher| {
                let shop = shop.get_or_init(|| {
                    let pool = lab.database();
                    let shop = lab.runtime.block_on(Shop::open(variant, pool));
                    let ((), statements) = lab.count_statements(shop.check_out(carts));
                    assert_eq!(
                        statements,
                        carts * statements_a_cart(variant),
                        "statements of {variant:?} for {carts} carts"
                    );
                    println!("{statements} statements for {carts} carts");
                    shop
                });
                bencher.to_async(&lab.runtime).iter(|| shop.check_out(carts));
            });
            if let Some(shop) = shop.get() {
                let lost = lab.runtime.block_on(shop.pieces_not_taken());
                let holds = matches!(variant, Variant::ProcessLock | Variant::RowLock | Variant::Fixed);
                if holds || carts == 1 {
                    assert_eq!(lost, 0, "{variant:?} with {carts} carts sold pieces that it did not take");
                }
                println!("{} pieces sold, {lost} of them not taken out of stock", shop.sold.get());
            }
        }
    }
    group.finish();
    lab.close();
}

/// The product is read, taken and sold; the fix reads and takes in one statement. Of a transaction, sqlx reports the
/// `COMMIT` and not the `BEGIN`.
fn statements_a_cart(variant: Variant) -> u64 {
    match variant {
        Variant::Buggy | Variant::Fixed => 3,
        Variant::Transaction | Variant::ProcessLock | Variant::RowLock => 4,
    }
}

/// A database with one product that everybody wants.
struct Shop {
    variant: Variant,
    service: Service,
    pool: PgPool,
    cart: Cart,
    /// Pieces sold so far, by what the buyers were told.
    sold: Cell<u64>,
}

impl Shop {
    async fn open(variant: Variant, pool: PgPool) -> Self {
        let product_id = Uuid::from_u128(1);
        sqlx::query("INSERT INTO products (id, name, price_cents, stock) VALUES ($1, 'Wanted', $2, $3)")
            .bind(product_id)
            .bind(PRICE_CENTS)
            .bind(STOCK)
            .execute(&pool)
            .await
            .expect("the product");
        let user_id = sqlx::query_scalar("SELECT id FROM users ORDER BY id LIMIT 1").fetch_one(&pool).await;
        let cart = Cart {
            user_id: user_id.expect("a seeded user"),
            items: vec![CartItem { product_id, quantity: 1 }],
        };
        Shop { variant, service: Service::new(variant), pool, cart, sold: Cell::new(0) }
    }

    /// Every cart becomes an order over one piece.
    async fn check_out(&self, carts: u64) {
        let orders = join_all((0..carts).map(|_| self.service.place_order(&self.pool, &self.cart))).await;
        for order in orders {
            let order = order.expect("an order");
            assert_eq!((order.items.len(), order.total.0), (1, PRICE_CENTS), "{:?}", self.variant);
        }
        self.sold.set(self.sold.get() + carts);
    }

    /// Pieces that were sold and yet are in stock, after a look at whether every order was recorded.
    async fn pieces_not_taken(&self) -> i64 {
        let (sold, left): (i64, i32) = sqlx::query_as(
            "SELECT (SELECT sum(quantity) FROM order_items WHERE product_id = $1), stock FROM products WHERE id = $1",
        )
        .bind(self.cart.items[0].product_id)
        .fetch_one(&self.pool)
        .await
        .expect("the product");
        assert_eq!(sold as u64, self.sold.get(), "pieces in the orders recorded, and in those confirmed");
        sold - i64::from(STOCK - left)
    }
}
