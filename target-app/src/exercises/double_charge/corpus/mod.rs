//! Solutions of `double-charge` that competent people could have written: the wrong ones must be exposed, the right ones come out clean.

use super::*;

corpus! {
    async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError>;

    new_key_each_time "new-key-each-time" Tempting "Looks the key up, and forgets it when the provider does not answer."
}
