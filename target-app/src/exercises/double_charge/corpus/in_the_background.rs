use std::sync::{LazyLock, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use super::*;

type Work = Shared<BoxFuture<'static, Result<Answer, Arc<KeyedError>>>>;

/// Checkouts that are under way. A client that leaves does not end its checkout, and whoever comes again waits for it.
static UNDER_WAY: LazyLock<std::sync::Mutex<HashMap<String, (Checkout, Work)>>> =
    LazyLock::new(Default::default);

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    if let Some(seen) = checkouts::find_key(shop.pool, key).await? {
        if seen.request != *checkout {
            return Err(KeyedError::OtherCheckout);
        }
        return seen.answer.map(|answer| answer.0).ok_or(KeyedError::UnderWay);
    }
    let work = {
        let mut under_way = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
        match under_way.get(key) {
            Some((request, _)) if request != checkout => return Err(KeyedError::OtherCheckout),
            Some((_, work)) => work.clone(),
            None => {
                let (pool, providers) = (shop.pool.clone(), shop.providers.clone());
                let (key, checkout) = (key.to_owned(), checkout.clone());
                let begun = (key.clone(), checkout.clone());
                let task = tokio::spawn(async move {
                    let shop = Shop { pool: &pool, providers: &providers };
                    let answered = complete(&shop, &key, &checkout).await;
                    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                    answered.map_err(Arc::new)
                });
                let ended = async { task.await.unwrap_or_else(|_| Err(Arc::new(KeyedError::NoAnswer))) };
                let work = ended.boxed().shared();
                under_way.insert(begun.0, (begun.1, work.clone()));
                work
            }
        }
    };
    work.await.map_err(|error| Arc::try_unwrap(error).unwrap_or(KeyedError::NoAnswer))
}

async fn complete(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    let order = shop.place_order(checkout).await?;
    let accepted = shop.charge(&order, checkout).await?;
    let mut db = shop.pool.begin().await?;
    let answer = settle(&mut db, order, accepted).await?;
    checkouts::insert_key(&mut *db, key, checkout, Some(&answer)).await?;
    let answer = checkouts::store_answer(&mut db, key, &answer).await?;
    db.commit().await?;
    Ok(answer)
}
