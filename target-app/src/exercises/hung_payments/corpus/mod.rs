//! Solutions of `hung-payments` that competent people could have written: the wrong ones must be exposed, the right ones come out clean.

use super::*;

corpus! {
    async fn process(
        pool: &PgPool,
        providers: &Providers,
        request: &PaymentRequest,
        screening: Screening
    ) -> Result<Payment, PaymentError>;

    without_transaction "without-transaction" Tempting "Statement by statement on the pool, without bounds for the calls."
}
