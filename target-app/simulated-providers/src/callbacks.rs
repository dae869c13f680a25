//! Outcomes that are sent to the client later: signed, at least once, as real providers do.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, Url};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::Semaphore;

use crate::profile::Fate;
use crate::service::Service;

/// Callbacks on their way at a time; the others wait.
const AT_A_TIME: usize = 64;

/// Callbacks that wait or are on their way, at most. More are given up, as by a provider that has had enough.
const MOST: usize = 100_000;

/// How often one is sent until it is accepted, and how long its receiver may take.
const ATTEMPTS: u32 = 8;
const PATIENCE: Duration = Duration::from_secs(3);

/// Between two attempts; twice as long after each.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Sends callbacks.
#[derive(Debug, Clone)]
pub(crate) struct Callbacks {
    service: Arc<Service>,
    client: Client,
    secret: Arc<[u8]>,
    waiting: Arc<Semaphore>,
    at_a_time: Arc<Semaphore>,
}

impl Callbacks {
    pub fn new(service: Arc<Service>, client: Client, secret: &[u8]) -> Self {
        Callbacks {
            service,
            client,
            secret: secret.into(),
            waiting: Arc::new(Semaphore::new(MOST)),
            at_a_time: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }

    /// Sends the outcome of the charge with this number to `url`, when the profile of the callbacks has it: late; twice, where a request would be
    /// lost or garbled; never, where it would be refused or hang.
    pub fn send(&self, url: String, number: usize, charge: Value) {
        let Ok(waiting) = self.waiting.clone().try_acquire_owned() else { return };
        let callbacks = self.clone();
        tokio::spawn(async move {
            let _waiting = waiting;
            let plan = callbacks.service.next_plan();
            tokio::time::sleep(plan.latency).await;
            let times = match plan.fate {
                Fate::Refused | Fate::Hung => 0,
                Fate::Lost | Fate::Garbled => 2,
                Fate::Answered | Fate::Failed => 1,
            };
            for _ in 0..times {
                callbacks.deliver(&url, number, &charge).await;
            }
        });
    }

    async fn deliver(&self, url: &str, number: usize, charge: &Value) {
        let id = format!("evt_{number}");
        let body = json!({ "type": "charge.succeeded", "data": charge }).to_string();
        let mut pause = FIRST_PAUSE;
        for _ in 0..ATTEMPTS {
            let Ok(_turn) = self.at_a_time.acquire().await else { return };
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let request = (self.client.post(url).timeout(PATIENCE))
                .header("content-type", "application/json")
                .header("webhook-id", &id)
                .header("webhook-timestamp", at)
                .header("webhook-signature", signature(&self.secret, &id, at, &body))
                .body(body.clone());
            if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            drop(_turn);
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
}

/// The signature of a callback, as in the specification Standard Webhooks: the version, and the HMAC-SHA256 of its id, its
/// time in seconds since 1970 and its body.
pub fn signature(secret: &[u8], id: &str, at: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length will do");
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Whether callbacks may be sent there: nowhere but to this machine.
pub(crate) fn check(url: &str) -> Result<(), String> {
    let parsed = Url::parse(url).map_err(|error| format!("callbackUrl: {error}"))?;
    let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host.parse::<IpAddr>().map_or(host == "localhost", |address| address.is_loopback());
    match parsed.scheme() {
        "http" if is_here => Ok(()),
        _ => {
            Err("callbackUrl must be an http URL on this machine, such as http://127.0.0.1:3000/callbacks"
                .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification() {
        // The example of the libraries of Standard Webhooks.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed =
            signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn callbacks_stay_on_this_machine() {
        for url in ["http://127.0.0.1:3000/callbacks", "http://localhost/x", "http://[::1]:80/"] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
        for url in
            ["http://example.com/", "https://127.0.0.1/", "file:///etc/passwd", "nowhere", "http://10.0.0.1/"]
        {
            assert!(check(url).is_err(), "{url}");
        }
    }
}
