//! Servers that are killed, a PostgreSQL that is restarted, and providers that are slow: what the lab does to them, and what it says when
//! they do not come back.

use std::time::Duration;

use loadtests::checks::kills::{Moment, Recorded, kill_at};
use loadtests::checks::reservations;
use loadtests::faults::{Fault, Trouble, inject, is_possible};
use loadtests::load::Timeline;
use loadtests::payments::{GOOD_CARD, PROCESS, charges, ensure_paid, pay};
use loadtests::{sales, shop};
use reqwest::Method;
use simulated_providers::{Point, Profile, Release};
use target_app::exercises::Variants;
use uuid::Uuid;

use crate::contracts::{deployment, lab};

const NOW: Duration = Duration::ZERO;
const SHORT: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_killed_answers_again_where_it_was() {
    let lab = lab().await;
    let servers = lab.deploy(&deployment(Variants::FIXED, 2, &[], "faults")).await.unwrap();
    let before: Vec<_> = servers.addresses().map(|ready| (ready.public, ready.operator)).collect();
    let api = servers.api().unwrap();
    let slow = Profile { base_ms: 5, ..Profile::CALM };
    let faults = [
        Fault { at: NOW, lasts: SHORT, what: Trouble::Killed(1) },
        Fault { at: NOW, lasts: SHORT, what: Trouble::PostgresRestarted },
        Fault { at: NOW, lasts: SHORT, what: Trouble::Provider("mail is slow", "mail", slow) },
    ];
    assert!(faults.iter().all(|fault| is_possible(fault, &api)));

    let timeline = Timeline::default();
    timeline.begin();
    inject(&faults, &api, &timeline).await.unwrap();
    let incidents = timeline.incidents();
    let mut what: Vec<&str> = incidents.iter().map(|incident| incident.what.as_str()).collect();
    what.sort_unstable();
    assert_eq!(what, ["PostgreSQL is restarted", "mail is slow", "server 2 is killed"]);
    assert!(incidents.iter().all(|incident| incident.to.is_some()), "{incidents:?}");

    assert_eq!(api.providers().unwrap().profile("mail").await.unwrap(), Profile::CALM);
    let after: Vec<_> = servers.addresses().map(|ready| (ready.public, ready.operator)).collect();
    assert_eq!(before, after);
    for _ in 0..before.len() {
        // The first requests find the connections broken and say so; then there are new ones.
        shop::users(&api).await.unwrap();
    }
    servers.discard().await.unwrap();
    lab.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_come_back_is_named_with_its_last_words() {
    let lab = lab().await;
    let logs = tempfile::tempdir().unwrap();
    let deployment =
        loadtests::lab::Deployment { logs: Some(logs.path()), ..deployment(Variants::FIXED, 1, &[], "gone") };
    let servers = lab.deploy(&deployment).await.unwrap();
    let api = servers.api().unwrap();
    let replicas = api.replicas().unwrap();
    let error = replicas.start(0, &["--pool-size", "none"]).await.unwrap_err();
    let words = format!("{error:#}");
    assert!(words.starts_with("a server that was killed did not start again: "), "{words}");
    assert!(api.ask(Method::GET, "/health", None, None).await.is_err(), "nothing is left running");
    servers.discard().await.unwrap();
    lab.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kill_falls_where_it_should() {
    let lab = lab().await;
    let servers = lab.deploy(&deployment(Variants::FIXED, 1, &[], "kills")).await.unwrap();
    let api = servers.api().unwrap();
    let orders = shop::place_orders(&api, Moment::ALL.len()).await.unwrap();
    for (moment, order) in Moment::ALL.into_iter().zip(&orders) {
        let recorded = Recorded {
            question: "SELECT status = 'paid' AND id <> ALL($2) FROM orders WHERE id = $1",
            id: order.id,
            known: Vec::new(),
        };
        let paying = pay(&api, PROCESS, order, GOOD_CARD);
        assert_eq!(kill_at(moment, &api, paying, recorded).await.unwrap(), Some(true), "{moment:?}");

        let charged = charges(&api, 0).await.unwrap().contains_key(&order.id.to_string());
        let found = shop::orders(&api, order.user_id).await.unwrap();
        let paid = found.iter().any(|found| found.id == order.id && found.status == "paid");
        let expected = match moment {
            Moment::BetweenOrderAndCharge | Moment::BeforeCharge => (false, false),
            Moment::DuringCharge | Moment::BetweenChargeAndRecord | Moment::WhileRecording => (true, false),
            Moment::BetweenRecordAndResponse => (true, true),
        };
        assert_eq!((charged, paid), expected, "{moment:?}");
        ensure_paid(&api, PROCESS, order, GOOD_CARD).await.unwrap();
        assert_eq!(charges(&api, 0).await.unwrap()[&order.id.to_string()].len(), 1, "{moment:?}");
    }
    servers.discard().await.unwrap();
    lab.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kill_of_a_reservation_falls_where_it_should() {
    let lab = lab().await;
    let servers = lab.deploy(&deployment(Variants::FIXED, 2, &[], "reservations")).await.unwrap();
    let api = servers.api().unwrap();
    let sale = sales::announce(&api, 10, 600).await.unwrap().id;
    for moment in reservations::Moment::ALL {
        sales::jobs_done(&api).await.unwrap();
        let state = async || {
            let sent: usize = sales::confirmations(&api, 0).await.unwrap().values().sum();
            (sales::look(&api, sale).await.unwrap().held, sent)
        };
        let (held, sent) = state().await;
        let buyer = Uuid::now_v7();
        assert!(reservations::kill_at(moment, &api, sale, buyer).await.unwrap(), "{moment:?}");
        let expected = match moment {
            reservations::Moment::BeforeJob => (held, sent),
            reservations::Moment::BeforeMail => (held + 1, sent),
            reservations::Moment::AfterMail => (held + 1, sent + 1),
        };
        assert_eq!(state().await, expected, "{moment:?}");
        assert!(sales::reserve(&api, sale, buyer).await.unwrap().is_held(), "{moment:?}");
    }
    servers.discard().await.unwrap();
    lab.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_service_a_payment_is_put_off_and_charged_once() {
    let down = Profile { refused_share: 1.0, ..Profile::CALM };
    let slow = Profile { base_ms: 5_000, ..Profile::CALM };
    let garbled = Profile { garbled_share: 1.0, ..Profile::CALM };
    let failing = Profile { failed_share: 1.0, ..Profile::CALM };
    let silent = Profile { lost_share: 1.0, ..Profile::CALM };
    // One customer has all of its time. It comes first, because a service goes on with what was slow after its client has left.
    let overloaded = Profile { capacity: 1, ..Profile::CALM };
    let troubles = [overloaded, down, slow, garbled, failing, silent];

    let lab = lab().await;
    let servers = lab.deploy(&deployment(Variants::FIXED, 1, &[], "troubles")).await.unwrap();
    let api = servers.api().unwrap();
    let providers = api.providers().unwrap();
    let orders = shop::place_orders(&api, 2 * troubles.len() + 2).await.unwrap();
    let mut customers = orders[2 * troubles.len()..].iter();
    let cases =
        ["fraud", "payments"].into_iter().flat_map(|service| troubles.map(|trouble| (service, trouble)));
    for ((service, trouble), order) in cases.zip(&orders) {
        providers.set_profile(service, &trouble).await.unwrap();
        let attempt = pay(&api, PROCESS, order, GOOD_CARD);
        let reply = if trouble == overloaded {
            providers.hold(service, Point::BeforeEffect, 1).await.unwrap();
            let other = pay(&api, PROCESS, customers.next().unwrap(), GOOD_CARD);
            let attempt = async {
                providers.held(service, 1).await.unwrap();
                let reply = attempt.await;
                providers.release(service, Release::Continue).await.unwrap();
                reply
            };
            let (other, reply) = futures::join!(other, attempt);
            assert_eq!(other.unwrap().status, 201, "{service}");
            reply.unwrap()
        } else {
            attempt.await.unwrap()
        };
        let said = String::from_utf8_lossy(&reply.body);
        assert_eq!(reply.status, 503, "{service} {trouble:?}: {said}");
        assert!(reply.headers.contains_key("retry-after"), "{service} {trouble:?}");
        let name = if service == "fraud" { "fraud check" } else { "payment provider" };
        assert!(said.contains(name) && said.contains("send the payment again"), "{trouble:?}: {said}");

        providers.set_profile(service, &Profile::CALM).await.unwrap();
        ensure_paid(&api, PROCESS, order, GOOD_CARD).await.unwrap();
        assert_eq!(charges(&api, 0).await.unwrap()[&order.id.to_string()].len(), 1, "{service} {trouble:?}");
    }
    servers.discard().await.unwrap();
    lab.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_that_are_gone_are_not_the_servers_fault() {
    let lab = lab().await;
    let servers = lab.deploy(&deployment(Variants::FIXED, 1, &[], "providers")).await.unwrap();
    let providers = servers.api().unwrap().providers().unwrap().clone();
    providers.hold("payments", Point::BeforeEffect, 1).await.unwrap();
    providers.release("payments", Release::Refuse).await.unwrap();
    let error = providers.profile("post office").await.unwrap_err();
    assert!(error.is::<loadtests::hint::Hinted>(), "{error:#}");
    servers.discard().await.unwrap();
    let error = providers.profile("payments").await.unwrap_err();
    assert!(error.is::<loadtests::hint::Hinted>(), "{error:#}");
    assert!(format!("{error:#}").contains("the simulated providers did not answer"), "{error:#}");
    lab.close().await.unwrap();
}
