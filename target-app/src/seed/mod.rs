//! The seeded data: the same rows for the same seed, on every server.

use std::fmt;
use std::str::FromStr;

use scratch_postgres::Template;
use sqlx::{Connection, PgConnection};

use crate::source;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// What makes the rows, in this order: what all have in common, then one file a subject.
const ROWS: [&str; 3] =
    [include_str!("common.sql"), include_str!("shop.sql"), include_str!("restaurants.sql")];

/// How much data a database starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Scale {
    /// 105 products, 31 users, 220 shop orders (120 of them `heavy.user@example.com`'s), 150 orders of a busy restaurant and
    /// 1,456 of others. Of both kinds of orders, one in five was cancelled.
    #[default]
    Small,
    /// The same with 10,000 orders, half of them one restaurant's.
    Medium,
    /// The same with 1,000,000 orders, half of them one restaurant's.
    Large,
}

impl Scale {
    /// Orders that the scale adds: the shop's beside the heavy user's 120, and the busy restaurant's.
    fn orders(self) -> (u32, u32) {
        match self {
            Scale::Small => (100, 150),
            Scale::Medium => (5_000, 5_000),
            Scale::Large => (500_000, 500_000),
        }
    }

    /// The name used on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Scale::Small => "small",
            Scale::Medium => "medium",
            Scale::Large => "large",
        }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        <Scale as clap::ValueEnum>::from_str(name, false)
    }
}

/// The database that every run clones: schema and data at this scale, from this seed.
pub fn template(scale: Scale, seed: u64) -> Template {
    Template::new(key(scale, seed), move |options| async move {
        let mut connection = PgConnection::connect_with(&options).await?;
        fill(&mut connection, scale, seed).await?;
        Ok(connection.close().await?)
    })
}

/// Names the content that [`fill`] makes, so that a prepared database is reused exactly as long as it is right.
fn key(scale: Scale, seed: u64) -> String {
    format!("{scale}-{seed}-{:016x}", source::hash(makers()))
}

/// All that the content is made from but for the scale's name and the seed: the schema, the rows, and this file, which
/// holds the scales' numbers and how the rest is put together. A comment that changes here costs one preparation.
fn makers() -> impl Iterator<Item = &'static u8> {
    let schema = MIGRATIONS.iter().flat_map(|migration| migration.checksum.iter());
    schema.chain(ROWS.iter().flat_map(|rows| rows.as_bytes())).chain(include_bytes!("mod.rs"))
}

/// Creates the schema in an empty database and fills it.
async fn fill(connection: &mut PgConnection, scale: Scale, seed: u64) -> anyhow::Result<()> {
    // `run` would ask for a connection of any lifetime, which keeps the future from being sent to another thread.
    MIGRATIONS.run_direct(None, &mut *connection, false).await?;
    let (shop_orders, restaurant_orders) = scale.orders();
    let mut transaction = connection.begin().await?;
    for (setting, value) in [
        ("stampede.seed", seed.to_string()),
        ("stampede.shop_orders", shop_orders.to_string()),
        ("stampede.restaurant_orders", restaurant_orders.to_string()),
        // The sorts and hashes of a million orders fit in memory; spilling them doubles the time.
        ("work_mem", "256MB".into()),
    ] {
        sqlx::query("SELECT set_config($1, $2, true)")
            .bind(setting)
            .bind(value)
            .execute(&mut *transaction)
            .await?;
    }
    for rows in ROWS {
        sqlx::raw_sql(rows).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_makes_the_data_is_in_its_key() {
        let makers: Vec<u8> = makers().copied().collect();
        let contains = |part: &[u8]| makers.windows(part.len()).any(|window| window == part);
        for part in [
            "INSERT INTO users",
            "INSERT INTO restaurants",
            "Scale::Large => (500_000, 500_000)",
            "async fn fill(",
        ] {
            assert!(contains(part.as_bytes()), "{part}");
        }
        for migration in MIGRATIONS.iter() {
            assert!(contains(&migration.checksum), "{}", migration.description);
        }
        assert_ne!(key(Scale::Small, 1), key(Scale::Small, 2));
        assert_ne!(key(Scale::Small, 1), key(Scale::Medium, 1));
    }
}
