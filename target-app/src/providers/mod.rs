//! The outside services that the backend calls: a payment provider and a fraud check.
//!
//! A call has no deadline of its own: whoever calls knows how long it is worth waiting. Dropping a call gives it up, and then nobody
//! knows whether it took effect. A charge has a key, so it can be sent again until somebody knows.

pub mod guard;

use std::sync::Arc;
use std::time::Instant;

use prometheus::Gauge;
use reqwest::{Client, Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::money::Cents;
use crate::telemetry::Telemetry;
use crate::telemetry::spec::{CALL_DURATION, CALLS_IN_FLIGHT};

/// The outside services at one base URL.
#[derive(Debug, Clone)]
pub struct Providers {
    client: Client,
    base: Option<Url>,
    telemetry: Arc<Telemetry>,
}

/// A card, and what is to be paid with it.
#[derive(Debug, Clone)]
pub struct Card<'a> {
    /// What it costs.
    pub amount: Cents,
    /// Such as `card`.
    pub payment_method: &'a str,
    /// The last four digits.
    pub last4: &'a str,
    /// What is paid for, so that both sides can find it.
    pub reference: &'a str,
}

/// A message to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// An address.
    pub to: String,
    /// One line.
    pub subject: String,
    /// The text.
    pub text: String,
}

/// What the payment provider says of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Charge {
    /// The provider's number of it.
    pub number: i64,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody said where the services are.
    #[error("no outside services are configured; set PROVIDERS_URL")]
    NotConfigured,
    /// The service said no, and will say so again.
    #[error("the {service} refused the request with {status}")]
    Refused {
        /// Which service.
        service: &'static str,
        /// Its answer.
        status: StatusCode,
    },
    /// It was not called, because it has enough to do or does not answer.
    #[error("the {service} is busy")]
    Busy {
        /// Which service.
        service: &'static str,
    },
    /// There was no answer, or none that says what happened: the call may have taken effect or not.
    #[error("the {service} did not answer as it should")]
    Unknown {
        /// Which service.
        service: &'static str,
        /// What is known of it.
        #[source]
        cause: Option<reqwest::Error>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FraudCheck<'a> {
    amount_cents: i64,
    card_last4: &'a str,
    reference: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChargeRequest<'a> {
    amount_cents: i64,
    payment_method: &'a str,
    card_last4: &'a str,
    reference: &'a str,
}

#[derive(Deserialize)]
struct Decision {
    decision: String,
}

/// A call that is under way, until this is dropped.
struct InFlight(Option<Gauge>);

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(gauge) = &self.0 {
            gauge.dec();
        }
    }
}

impl Providers {
    /// The services at this base URL. Without one, every call fails.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(base: Option<Url>, telemetry: Arc<Telemetry>) -> reqwest::Result<Self> {
        // Plain HTTP, so none of the system's root certificates are needed.
        let client = Client::builder().no_proxy().tls_certs_only([]).build()?;
        Ok(Providers { client, base, telemetry })
    }

    /// Whether the fraud check has nothing against a payment.
    pub async fn check_fraud(&self, card: &Card<'_>) -> Result<bool, CallError> {
        let Card { amount, last4, reference, .. } = *card;
        let check = FraudCheck { amount_cents: amount.0, card_last4: last4, reference };
        let decision: Decision = self.post("fraud check", "fraud/checks", None, &check).await?;
        Ok(decision.decision == "approve")
    }

    /// Charges a card; none when the card is declined. The same key charges once, however often it is sent.
    pub async fn charge(&self, key: &str, card: &Card<'_>) -> Result<Option<Charge>, CallError> {
        let Card { amount, payment_method, last4, reference } = *card;
        let charge = ChargeRequest { amount_cents: amount.0, payment_method, card_last4: last4, reference };
        match self.post("payment provider", "payments/charges", Some(key), &charge).await {
            Ok(charge) => Ok(Some(charge)),
            Err(CallError::Refused { status: StatusCode::PAYMENT_REQUIRED, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a message. The same key sends once, however often it is used.
    pub async fn send_mail(&self, key: &str, mail: &Mail) -> Result<(), CallError> {
        let _: serde_json::Value = self.post("mailer", "mail/messages", Some(key), mail).await?;
        Ok(())
    }

    async fn post<T: DeserializeOwned>(
        &self,
        service: &'static str,
        path: &str,
        key: Option<&str>,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        let unknown = |cause| CallError::Unknown { service, cause: Some(cause) };
        let base = self.base.as_ref().ok_or(CallError::NotConfigured)?;
        let url = base.join(path).map_err(|_| CallError::NotConfigured)?;
        let mut request = self.client.request(Method::POST, url).json(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }

        let _in_flight = self.in_flight(service);
        let sent = Instant::now();
        let answered = async {
            let answer = request.send().await.map_err(unknown)?;
            match answer.status() {
                status if status.is_success() => answer.json().await.map_err(unknown),
                status if status.is_client_error() => Err(CallError::Refused { service, status }),
                _ => Err(CallError::Unknown { service, cause: answer.error_for_status().err() }),
            }
        };
        let answered = answered.await;
        let outcome = match &answered {
            Ok(_) => "answered",
            Err(CallError::Refused { .. }) => "refused",
            Err(_) => "failed",
        };
        if self.telemetry.is_on() {
            let took = sent.elapsed().as_secs_f64();
            self.telemetry.metrics.histogram(&CALL_DURATION, &[service, outcome]).observe(took);
        }
        answered
    }

    fn in_flight(&self, service: &str) -> InFlight {
        let gauge =
            self.telemetry.is_on().then(|| self.telemetry.metrics.gauge(&CALLS_IN_FLIGHT, &[service]));
        if let Some(gauge) = &gauge {
            gauge.inc();
        }
        InFlight(gauge)
    }
}
