use std::sync::{LazyLock, PoisonError, Weak};

use super::*;

/// A lock for each key that somebody works on.
static LOCKS: LazyLock<std::sync::Mutex<HashMap<String, Weak<Mutex<()>>>>> = LazyLock::new(Default::default);

fn lock_of(key: &str) -> Arc<Mutex<()>> {
    let mut locks = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lock) = locks.get(key).and_then(Weak::upgrade) {
        return lock;
    }
    locks.retain(|_, lock| lock.strong_count() > 0);
    let lock = Arc::new(Mutex::new(()));
    locks.insert(key.to_owned(), Arc::downgrade(&lock));
    lock
}

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    let lock = lock_of(key);
    let _turn = lock.lock().await;
    if let Some(seen) = checkouts::find_key(shop.pool, key).await? {
        if seen.request != *checkout {
            return Err(KeyedError::OtherCheckout);
        }
        return seen.answer.map(|answer| answer.0).ok_or(KeyedError::UnderWay);
    }
    let order = shop.place_order(checkout).await?;
    let accepted = shop.charge(&order, checkout).await?;
    let mut db = shop.pool.begin().await?;
    let answer = settle(&mut db, order, accepted).await?;
    checkouts::insert_key(&mut *db, key, checkout, Some(&answer)).await?;
    db.commit().await?;
    Ok(answer)
}
