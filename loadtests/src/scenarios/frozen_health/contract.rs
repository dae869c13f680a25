//! What any shop's order reports promise to a single reader.

use anyhow::{Context, ensure};
use lopdf::Document;
use uuid::Uuid;

use super::report_of;
use crate::api::Api;
use crate::hint::Hinted;
use crate::scenarios::Clause;
use crate::shop::{self, Cart, Order, User};

/// Short reports that are asked for one after another.
const IN_A_ROW: usize = 8;

pub(super) async fn check(api: &Api, clause: &mut Clause) -> anyhow::Result<()> {
    clause.is("the health check answers");
    api.bytes("/health", None).await?;
    clause.is("the users, their orders and the products can be read");
    let heavy = shop::user(api, shop::HEAVY_USER).await?;
    let new = shop::user(api, shop::NEW_USER).await?;
    let users = shop::users(api).await?;
    let other = second_reader(&users).ok_or_else(|| Hinted::unseeded("there are fewer than three users"))?;

    clause.is("a report has every order of its user, newest first, each with its lines and its sums");
    ensure_complete(api, &heavy).await?;
    clause.is("everybody's report is their own");
    ensure_complete(api, other).await?;
    clause.is("who never bought anything has a report without orders");
    ensure_complete(api, &new).await?;
    clause.is("an order is in the next report, and the others are still in it");
    for user in [&heavy, &new] {
        buy(api, user).await?;
        ensure_complete(api, user).await?;
    }

    clause.is("the same orders make the same report, byte for byte");
    let first = report_of(api, heavy.id).await?;
    ensure!(first == report_of(api, heavy.id).await?, "two reports differ");
    clause.is("whoever asks alone is served, and not made to wait for those who asked before");
    for _ in 0..IN_A_ROW {
        report_of(api, other.id).await?;
    }
    clause.is("of a user whom nobody knows there is no report");
    let unknown = format!("/reports/orders/{}", Uuid::now_v7());
    api.ask(reqwest::Method::GET, &unknown, None, None).await?.with_status(404)?;
    Ok(())
}

/// Somebody with orders other than the heavy user: the one whose name most has to be escaped.
pub(super) fn second_reader(users: &[User]) -> Option<&User> {
    let odd = |user: &&User| user.name.chars().filter(|c| !c.is_alphanumeric()).count();
    users
        .iter()
        .filter(|user| ![shop::HEAVY_USER, shop::NEW_USER].contains(&user.email.as_str()))
        .max_by_key(odd)
}

/// Buys a little of what is in stock.
pub(super) async fn buy(api: &Api, user: &User) -> anyhow::Result<()> {
    let products = shop::products(api).await?;
    let stocked = products.values().filter(|product| product.inventory > 3).map(|product| product.id);
    let items: Vec<_> = stocked.take(3).zip(1..).collect();
    Cart::of(user.id, &items).check_out(api).await?.with_status(201)?;
    Ok(())
}

/// Asks for the user's report, and compares it with the user's orders.
async fn ensure_complete(api: &Api, user: &User) -> anyhow::Result<()> {
    let orders = shop::orders(api, user.id).await?;
    ensure_report_of(report_of(api, user.id).await?, user, orders).await
}

/// Compares a report with what must be in it.
pub(super) async fn ensure_report_of(
    document: Vec<u8>,
    user: &User,
    orders: Vec<Order>,
) -> anyhow::Result<()> {
    let user = user.clone();
    // In a task of its own, because it reads what a stranger wrote, and a parser may panic.
    let read = tokio::task::spawn_blocking(move || compare(&document, &user, &orders));
    read.await.unwrap_or_else(|_| anyhow::bail!("the report is a PDF that cannot be read"))
}

fn compare(document: &[u8], user: &User, orders: &[Order]) -> anyhow::Result<()> {
    let document = Document::load_mem(document).context("the report is not a PDF")?;
    let pages: Vec<u32> = document.get_pages().into_keys().collect();
    let mut text = if pages.is_empty() {
        String::new()
    } else {
        document.extract_text(&pages).context("the report has no text that can be read")?
    };
    // Anything may be broken over two lines.
    text.retain(|character| !character.is_whitespace());
    if !orders.is_empty() {
        ensure!(text.contains(&user.email), "the report does not name its user, {}", user.email);
    }
    let whose = &user.email;
    let mut rest = text.as_str();
    for (nth, order) in orders.iter().enumerate() {
        let id = order.id.to_string();
        let Some(at) = rest.find(&id) else {
            anyhow::bail!(
                "order {id} is not in the report of {whose}, or not where it belongs (number {nth})"
            )
        };
        rest = &rest[at + id.len()..];
        let page = orders
            .get(nth + 1)
            .and_then(|next| rest.find(&next.id.to_string()))
            .map_or(rest, |end| &rest[..end]);
        let missing = |what: &str| format!("of order {id}, {what} is not in the report of {whose}");
        for item in &order.items {
            let name = readable(&item.name);
            ensure!(
                page.contains(&format!("{}x{name}", item.quantity)),
                missing(&format!("{} x {}", item.quantity, item.name))
            );
            let price = item.unit_price.times(item.quantity);
            ensure!(page.contains(&price.to_string()), missing(&format!("the price {price} of a line")));
        }
        ensure!(page.contains(&order.total.to_string()), missing(&format!("the total {}", order.total)));
        ensure!(page.contains(&order.status), missing(&format!("the status {}", order.status)));
        let day = order.created_at.format("%Y-%m-%d").to_string();
        ensure!(page.contains(&day), missing(&format!("the day {day}")));
    }
    let mut windows = text.as_bytes().windows(36).filter_map(|window| Uuid::try_parse_ascii(window).ok());
    let stranger = windows.find(|id| !orders.iter().any(|order| order.id == *id));
    ensure!(stranger.is_none(), "the report of {whose} has an order of somebody else");
    Ok(())
}

/// A name up to the first letter that a simple font may not have, as the text has it.
fn readable(name: &str) -> String {
    name.chars().take_while(char::is_ascii).filter(|character| !character.is_whitespace()).collect()
}
