//! A small order service, once with four defects and once without, and its own tests run under a
//! watch: each defect is found by the id of its rule, and nothing in the mended service.
//!
//! All of it runs in virtual time on the memory backend: no server, no waiting.
#![expect(
    clippy::disallowed_methods,
    reason = "the service and its doubles take time as it comes, which is virtual"
)]

mod careful;
mod hasty;

use std::time::Duration;

use lock_core::{BoxError, DistributedMutex, FencingToken, LockClient, LockOptions, MemoryBackend};
use lock_testkit::sections::{Resource, Rule, Watch};
use lock_testkit::{Fault, FaultyBackend, StepKind};
use serde::{Deserialize, Serialize};

/// What is left, and the orders that took from it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Stock {
    left: u32,
    orders: Vec<u32>,
}

/// Each order takes one, and none is forgotten.
fn one_by_one(before: Option<&Stock>, after: &Stock) -> Result<(), String> {
    let orders = before.map_or(&[][..], |stock| &stock.orders);
    if !after.orders.starts_with(orders) {
        return Err("an order is gone".to_owned());
    }
    let sold = u32::try_from(after.orders.len()).ok();
    let sum = sold.and_then(|sold| sold.checked_add(after.left));
    let agrees = (sum == Some(STOCK)).then_some(());
    agrees.ok_or_else(|| "the stock does not agree with the orders".to_owned())
}

const STOCK: u32 = 100;
const NAME: &str = "stock/sku-17";

/// What the service works with.
#[derive(Clone)]
struct Service {
    stock: DistributedMutex<Stock>,
    warehouse: Warehouse,
    /// How long the payment provider takes.
    payment: Duration,
}

/// A double of the warehouse. The real one takes a while for each parcel and checks no token.
#[derive(Clone)]
struct Warehouse {
    probe: Resource,
}

impl Warehouse {
    async fn ship(&self, token: FencingToken, order: u32) {
        tokio::time::sleep(ms(400)).await;
        self.probe.wrote(Some(token), format!("order {order}"));
    }
}

/// A service of two instances on one store, under a watch.
struct Stage {
    watch: Watch,
    one: Service,
    other: Service,
    /// The network of the first instance.
    network: FaultyBackend,
}

impl Stage {
    fn new() -> Self {
        let watch = Watch::new()
            .hold_limit(Duration::from_secs(8))
            .each_commit("stock/", one_by_one);
        let store = MemoryBackend::new();
        let network = FaultyBackend::new(store.another_client());
        let (one, other) = (network.clone(), FaultyBackend::new(store));
        let (one, other) = (watch.around_as("one", one), watch.around_as("other", other));
        let warehouse = Warehouse {
            probe: watch.resource("warehouse", NAME),
        };
        let service = |backend| {
            let options = LockOptions::builder().ttl(Duration::from_secs(3));
            let locks = LockClient::builder(backend)
                .options(options.build().unwrap())
                .build();
            let first = || Stock {
                left: STOCK,
                orders: Vec::new(),
            };
            Service {
                stock: locks.mutex_with(NAME, first).build().unwrap(),
                warehouse: warehouse.clone(),
                payment: ms(300),
            }
        };
        Self {
            one: service(one),
            other: service(other),
            watch,
            network,
        }
    }

    #[track_caller]
    fn finds(&self, rules: &[Rule], words: &[&str]) {
        let verdict = self.watch.verdict();
        assert_eq!(verdict.broken_rules(), rules, "{verdict}");
        let report = verdict.to_string();
        for word in words {
            assert!(report.contains(word), "{word:?} is missing:\n{report}");
        }
        if rules.is_empty() {
            verdict.assert_clean();
        }
    }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Two instances sell at the same time.
async fn both_sell<F>(stage: &Stage, sell: fn(Service, u32) -> F)
where
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let one = tokio::spawn(sell(stage.one.clone(), 1));
    let other = tokio::spawn(sell(stage.other.clone(), 2));
    one.await.unwrap().unwrap();
    other.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn stock_that_was_read_before_the_lock_is_a_lost_update() {
    let stage = Stage::new();
    both_sell(&stage, hasty::sell).await;
    stage.finds(
        &[Rule::Sv1],
        &["an order is gone", "had peeked without the lock"],
    );

    let stage = Stage::new();
    both_sell(&stage, careful::sell).await;
    stage.finds(&[], &[]);
}

#[tokio::test(start_paused = true)]
async fn parcels_that_are_sent_after_the_loss_are_found() {
    let orders: Vec<u32> = (1..=10).collect();
    let stage = Stage::new();
    stage.network.always(StepKind::Renew, Fault::LoseRequest);
    let _answer = hasty::ship(&stage.one, &orders).await;
    stage.finds(
        &[Rule::Sv2],
        &["one, outside of a task", "warehouse", "run out"],
    );

    let stage = Stage::new();
    stage.network.always(StepKind::Renew, Fault::LoseRequest);
    let stopped = careful::ship(&stage.one, &orders).await;
    assert!(stopped.is_err(), "it is told that it lost the lock");
    stage.finds(&[], &[]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_a_time_out_drops_is_found() {
    let stage = Stage::new();
    let slow = Fault::DelayReply(ms(700));
    stage.network.next(StepKind::Commit, slow);
    assert!(hasty::sell_quickly(&stage.one, 1).await.is_err());
    stage.finds(&[Rule::Sv3], &["dropped before its answer came", "token"]);

    let stage = Stage::new();
    stage.network.next(StepKind::Commit, slow);
    careful::sell_quickly(&stage.one, 1).await.unwrap();
    stage.finds(&[], &[]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_forgotten_is_found() {
    let stage = Stage::new();
    let _listening = stage.watch.listen();
    hasty::reserve(&stage.one, 1).await.unwrap();
    stage.finds(&[Rule::Sv3], &["not committed"]);

    let stage = Stage::new();
    let _listening = stage.watch.listen();
    careful::reserve(&stage.one, 1).await.unwrap();
    stage.finds(&[], &[]);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_held_while_a_payment_is_made_is_found() {
    let mut stage = Stage::new();
    stage.one.payment = Duration::from_secs(10);
    hasty::sell_for_money(&stage.one, 1).await.unwrap();
    stage.finds(&[Rule::Sv4], &["held for 10.000 s", "limit is 8.000 s"]);

    let mut stage = Stage::new();
    stage.one.payment = Duration::from_secs(10);
    careful::sell_for_money(&stage.one, 1).await.unwrap();
    stage.finds(&[], &[]);
}

/// What both services call while they sell.
async fn pay(service: &Service) {
    tokio::time::sleep(service.payment).await;
}

/// Takes one from the stock for an order.
fn take(stock: &mut Stock, order: u32) -> Result<(), BoxError> {
    stock.left = stock.left.checked_sub(1).ok_or("sold out")?;
    stock.orders.push(order);
    Ok(())
}
