use super::*;

/// Checkouts by their keys. A request that comes again waits for the first one and gets its answer.
pub type Checkouts = Mutex<HashMap<String, Arc<Remembered>>>;

#[derive(Debug)]
pub struct Remembered {
    request: Checkout,
    answer: OnceCell<Answer>,
}

pub async fn check_out(
    remembered: &Checkouts,
    shop: &Shop<'_>,
    key: &str,
    checkout: &Checkout,
) -> Result<Answer, KeyedError> {
    let first = || Arc::new(Remembered { request: checkout.clone(), answer: OnceCell::new() });
    let seen = remembered.lock().await.entry(key.to_owned()).or_insert_with(first).clone();
    if seen.request != *checkout {
        return Err(KeyedError::OtherCheckout);
    }
    seen.answer.get_or_try_init(|| buggy::check_out(shop, key, checkout)).await.cloned()
}
