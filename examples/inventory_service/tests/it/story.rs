//! The story of the service: customers order more than there is, some return what they got, and
//! every one insists until it has an answer.
#![expect(
    clippy::disallowed_methods,
    reason = "a customer who was told to come back does so a moment later"
)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::http::Answer;
use crate::program::{Program, Service};

const STOCK: u32 = 150;
const CUSTOMERS: u32 = 8;
/// Of each customer: 8 × 12 orders of 1 to 4 units are about 240 units.
const ORDERS: u32 = 12;
/// So many reservations were confirmed when a process is killed.
const KILLED_AFTER: u32 = 20;

/// Kills one of two processes while both serve.
pub(crate) async fn of_two_processes(program: Program, url: &str) {
    let one = Service::start(&program, url).await;
    let other = Service::start(&program, url).await;
    sell(&[&one, &other], || one.kill()).await;
    // What is committed outlives them all, and the one that ended gave its leases up.
    other.ends_well().await;
    let next = Service::start(&program, url).await;
    let again = r#"{"units": 150}"#;
    let answer = next.ask("PUT", "/skus/widget", again).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    next.ends_well().await;
}

/// The same without a kill: the stock would be gone with the process.
pub(crate) async fn of_one_process(program: Program, url: &str) {
    let one = Service::start(&program, url).await;
    sell(&[&one], || {}).await;
    one.ends_well().await;
}

async fn sell(services: &[&Service], in_the_middle: impl Fn() + Send + Sync) {
    let made = insist(services, "PUT", "/skus/widget", r#"{"units": 150}"#).await;
    assert_eq!(made.status, 201, "{made:?}");
    let confirmed = AtomicU32::new(0);
    let customers = (0..CUSTOMERS).map(|customer| {
        let (confirmed, in_the_middle) = (&confirmed, &in_the_middle);
        async move {
            let mut kept = Vec::new();
            for order in 0..ORDERS {
                let (id, units) = (format!("c{customer}-{order}"), 1 + (customer + order) % 4);
                let path = format!("/skus/widget/reservations/{id}");
                let body = format!("{{\"units\": {units}}}");
                let answer = insist(services, "PUT", &path, &body).await;
                if answer.status == 409 {
                    assert!(answer.json["error"].as_str().unwrap().ends_with("are left"));
                    continue;
                }
                if confirmed.fetch_add(1, Ordering::Relaxed) + 1 == KILLED_AFTER {
                    in_the_middle();
                }
                // The customer's own copy of it, sent late, reserves nothing more.
                let copy = insist(services, "PUT", &path, &body).await;
                assert_eq!(copy.status, 200, "{copy:?}");
                if order % 4 == 3 {
                    for _ in 0..2 {
                        let back = insist(services, "DELETE", &path, "").await;
                        assert_eq!(back.status, 200, "{back:?}");
                    }
                    assert_eq!(insist(services, "GET", &path, "").await.status, 410);
                } else {
                    kept.push((path, units));
                }
            }
            kept
        }
    });
    let kept: Vec<_> = join_all(customers).await.into_iter().flatten().collect();
    assert!(confirmed.into_inner() > KILLED_AFTER);

    // What customers were told is what the store has, to the unit.
    let stock = insist(services, "GET", "/skus/widget", "").await.json;
    let sold: u32 = kept.iter().map(|(_, units)| units).sum();
    assert_eq!(stock["units"], STOCK);
    assert_eq!(stock["left"], STOCK - sold, "{sold} are sold: {stock}");
    for (path, units) in kept {
        let found = insist(services, "GET", &path, "").await;
        assert_eq!((found.status, &found.json["units"]), (200, &units.into()));
    }
    let skus = insist(services, "GET", "/skus", "").await.json;
    assert_eq!(skus["skus"], serde_json::json!(["widget"]));
    // The last units can be sold, and not one more.
    let left = STOCK - sold;
    let last = format!("{{\"units\": {left}}}");
    if left > 0 {
        let answer = insist(services, "PUT", "/skus/widget/reservations/last", &last).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let more = r#"{"units": 1}"#;
    let answer = insist(services, "PUT", "/skus/widget/reservations/more", more).await;
    assert_eq!(answer.status, 409, "{answer:?}");
}

/// Sends the same request to one process after the other until one gives a final answer.
pub(crate) async fn insist(services: &[&Service], method: &str, path: &str, body: &str) -> Answer {
    let started = Instant::now();
    let mut last = String::new();
    for service in services.iter().cycle() {
        if started.elapsed() > PATIENCE {
            break;
        }
        match service.ask(method, path, body).await {
            Ok(answer) if [503, 504].contains(&answer.status) => {
                assert_eq!(answer.retry_after, answer.status == 503, "{answer:?}");
                last = format!("{answer:?}");
            }
            Ok(answer) => return answer,
            // It is dead, or died before it had answered.
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(PAUSE).await;
    }
    unreachable!("no answer to {method} {path} within {PATIENCE:?}: {last}");
}

/// Far more than the ttl of a process that was killed.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);

async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    futures_util::future::join_all(futures).await
}
