//! Each rule for services finds what breaks it and nothing in what does not.

mod careful;

use std::time::Duration;

use lock_core::{LockClient, LockOptions, MemoryBackend};
use lock_testkit::sections::{Rule, Verdict, Watch};
use lock_testkit::{Fault, FaultyBackend, StepKind};

const TTL: Duration = Duration::from_secs(3);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn options() -> LockOptions {
    LockOptions::builder().ttl(TTL).build().unwrap()
}

/// A client of a new store through faults, watched.
fn watched(watch: &Watch) -> (LockClient, FaultyBackend) {
    another(watch, &MemoryBackend::new())
}

fn another(watch: &Watch, store: &MemoryBackend) -> (LockClient, FaultyBackend) {
    let faulty = FaultyBackend::new(store.another_client());
    let backend = watch.around(faulty.clone()).of_client_with(&options());
    let locks = LockClient::builder(backend).options(options()).build();
    (locks, faulty)
}

fn add_one(n: &mut u64) -> Result<(), lock_core::BoxError> {
    *n += 1;
    Ok(())
}

fn order_one(sold: &mut Vec<u32>) -> Result<(), lock_core::BoxError> {
    sold.push(1);
    Ok(())
}

#[track_caller]
fn only(verdict: &Verdict, rule: Rule, words: &[&str]) {
    assert_eq!(verdict.broken_rules(), [rule], "{verdict}");
    assert!(!verdict.is_clean());
    let report = verdict.to_string();
    for word in words {
        assert!(report.contains(word), "{word:?} is missing:\n{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_the_check_forbids_is_found_with_the_stale_peek_before_it() {
    let watch = Watch::new().each_commit("sold", |before: Option<&Vec<u32>>, after: &Vec<u32>| {
        let before = before.map_or(&[][..], Vec::as_slice);
        after
            .starts_with(before)
            .then_some(())
            .ok_or_else(|| "an order is gone".to_owned())
    });
    let (locks, _) = watched(&watch);
    let mutex = locks.mutex::<Vec<u32>>("sold").unwrap();
    let stale = mutex.peek().await.unwrap().value;
    mutex.update(order_one).await.unwrap();
    watch.verdict().assert_clean();
    let mut guard = mutex.lock().await.unwrap();
    *guard = stale;
    guard.push(2);
    guard.commit().await.unwrap();
    let words = ["an order is gone", "[1] was replaced by [2]", "had peeked"];
    only(&watch.verdict(), Rule::Sv1, &words);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_the_check_cannot_read_is_no_value_that_passed() {
    let watch = Watch::new().each_commit("", |_: Option<&String>, _: &String| Ok(()));
    let (locks, _) = watched(&watch);
    let mutex = locks.mutex::<u64>("n").unwrap();
    mutex.update(add_one).await.unwrap();
    only(&watch.verdict(), Rule::Sv1, &["not what the check reads"]);
}

#[tokio::test(start_paused = true)]
async fn a_write_by_who_read_before_another_wrote_is_found() {
    let watch = Watch::new();
    let (locks, _) = watched(&watch);
    let file = watch.resource("file", "m");
    let work = |reads_first: bool| {
        let (mutex, file) = (locks.mutex::<()>("m").unwrap(), file.clone());
        tokio::spawn(async move {
            if reads_first {
                file.read(None, "the total");
            }
            let guard = mutex.lock().await.unwrap();
            if !reads_first {
                file.read(Some(guard.token()), "the total");
            }
            tokio::time::sleep(ms(10)).await;
            file.wrote(Some(guard.token()), "the new total");
            guard.release().await.unwrap();
        })
    };
    let (one, other) = (work(false), work(false));
    one.await.unwrap();
    other.await.unwrap();
    watch.verdict().assert_clean();
    let (one, other) = (work(true), work(true));
    one.await.unwrap();
    other.await.unwrap();
    only(&watch.verdict(), Rule::Sv1, &["file", "in between"]);
}

#[tokio::test(start_paused = true)]
async fn a_use_after_the_lease_ran_out_is_found() {
    let watch = Watch::new();
    let (locks, faulty) = watched(&watch);
    let door = watch.resource("door", "m");
    let guard = locks.mutex::<()>("m").unwrap().lock().await.unwrap();
    door.wrote(Some(guard.token()), "open");
    faulty.always(StepKind::Renew, Fault::LoseRequest);
    let _cause = guard.lost().await;
    door.refused(Some(guard.token()), "close");
    watch.verdict().assert_clean();
    tokio::time::sleep(ms(10)).await;
    door.wrote(Some(guard.token()), "close");
    door.read(Some(guard.token()), "state");
    let words = ["run out", "door", "close", "1 more uses followed"];
    only(&watch.verdict(), Rule::Sv2, &words);
}

#[tokio::test(start_paused = true)]
async fn a_use_after_the_release_or_without_the_lock_is_found() {
    let watch = Watch::new();
    let (locks, _) = watched(&watch);
    let door = watch.resource("door", "m");
    let guard = locks.mutex::<()>("m").unwrap().lock().await.unwrap();
    door.read(None, "anybody may look");
    door.wrote(None, "open");
    let token = guard.token();
    guard.release().await.unwrap();
    watch.verdict().assert_clean();
    door.wrote(Some(token), "close");
    door.wrote(None, "shut");
    let words = ["had been given up", "did not hold the lock"];
    only(&watch.verdict(), Rule::Sv2, &words);
    assert_eq!(watch.verdict().findings().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_takes_a_smaller_token_is_found() {
    let watch = Watch::new();
    let store = MemoryBackend::new();
    let ((one, faulty), (other, _)) = (another(&watch, &store), another(&watch, &store));
    faulty.mute();
    let door = watch.resource("door", "m");
    let first = one.mutex::<()>("m").unwrap().lock().await.unwrap();
    tokio::time::sleep(ms(10)).await;
    let _forced = other.force_release("m").await.unwrap();
    let second = other.mutex::<()>("m").unwrap().lock().await.unwrap();
    door.wrote(Some(second.token()), "open");
    assert!(first.is_held(), "nothing told it yet");
    door.wrote(Some(first.token()), "close");
    only(&watch.verdict(), Rule::Sv2, &["must refuse smaller ones"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_dropped_is_found_and_an_unchanged_guard_is_not() {
    let watch = Watch::new();
    let _listening = watch.listen();
    let (locks, _) = watched(&watch);
    let mutex = locks.mutex::<u64>("m").unwrap();
    drop(mutex.lock().await.unwrap());
    watch.verdict().assert_clean();
    let mut guard = mutex.lock().await.unwrap();
    *guard += 1;
    drop(guard);
    only(
        &watch.verdict(),
        Rule::Sv3,
        &["not committed", "lock: m, token"],
    );
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_dropped_is_found_and_one_that_is_repeated_is_not() {
    let watch = Watch::new();
    let _listening = watch.listen();
    let (locks, faulty) = watched(&watch);
    let mutex = locks.mutex::<u64>("m").unwrap();
    faulty.next(StepKind::Commit, Fault::HangAfter);
    faulty.next(StepKind::Commit, Fault::LoseReply);
    mutex.update(add_one).await.unwrap();
    // The store is gone for longer than the client's patience, and the caller is told.
    faulty.always(StepKind::Commit, Fault::HangBefore);
    assert!(mutex.update(add_one).await.is_err());
    watch.verdict().assert_clean();
    let mut guard = mutex.lock().await.unwrap();
    *guard += 1;
    let dropped = tokio::time::timeout(ms(100), guard.commit()).await;
    assert!(dropped.is_err());
    only(&watch.verdict(), Rule::Sv3, &["dropped before its answer"]);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_held_beyond_the_limit_or_the_request_is_found() {
    let watch = Watch::new().hold_limit(ms(500));
    let (locks, _) = watched(&watch);
    let mutex = locks.mutex::<()>("m").unwrap();
    let request = watch.request("GET /a", ms(450));
    let guard = mutex.lock().await.unwrap();
    tokio::time::sleep(ms(400)).await;
    guard.release().await.unwrap();
    drop(request);
    watch.verdict().assert_clean();
    let request = watch.request("GET /b", ms(300));
    let guard = mutex.lock().await.unwrap();
    tokio::time::sleep(ms(400)).await;
    guard.release().await.unwrap();
    drop(request);
    only(&watch.verdict(), Rule::Sv4, &["GET /b"]);
    let guard = mutex.lock().await.unwrap();
    tokio::time::sleep(ms(600)).await;
    guard.release().await.unwrap();
    only(&watch.verdict(), Rule::Sv4, &["limit is 0.500 s"]);
}

#[tokio::test(start_paused = true)]
async fn opposite_orders_are_found_and_one_order_and_tries_are_not() {
    let watch = Watch::new();
    let (locks, _) = watched(&watch);
    let take = |first: &'static str, second: &'static str, tries: bool| {
        let first = locks.mutex::<()>(first).unwrap();
        let second = locks.mutex::<()>(second).unwrap();
        tokio::spawn(async move {
            let _outer = first.lock().await.unwrap();
            if tries {
                drop(second.try_lock().await.unwrap());
            } else {
                drop(second.lock().await.unwrap());
            }
        })
    };
    take("a", "b", false).await.unwrap();
    take("b", "c", false).await.unwrap();
    take("c", "a", true).await.unwrap();
    watch.verdict().assert_clean();
    take("c", "a", false).await.unwrap();
    let words = [
        "held \"a\" and asked for \"b\"",
        "held \"c\" and asked for \"a\"",
    ];
    only(&watch.verdict(), Rule::Sv5, &words);
    assert_eq!(watch.verdict().findings().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_store_does_wrong_is_told_apart_from_the_service() {
    let watch = Watch::new();
    let store = MemoryBackend::new();
    let ((one, _), (other, _)) = (another(&watch, &store), another(&watch, &store));
    let _held = one.mutex::<()>("m").unwrap().lock().await.unwrap();
    tokio::time::sleep(ms(10)).await;
    store.wipe();
    let _also = other.mutex::<()>("m").unwrap().lock().await.unwrap();
    let verdict = watch.verdict();
    assert!(verdict.findings().is_empty() && !verdict.is_clean());
    let report = verdict.to_string();
    assert!(report.contains("the lock itself: LS-1") && report.contains("ME-2"));
}

#[test]
fn ids_are_in_order() {
    let ids: Vec<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
    assert_eq!(ids, ["SV-1", "SV-2", "SV-3", "SV-4", "SV-5"]);
}

#[tokio::test(start_paused = true)]
async fn the_page_shows_the_report_of_its_program() {
    const PAGE: &str = include_str!("../../../docs/check-your-service.md");
    async fn sell(locks: &LockClient, order: u32) {
        let sold = locks.mutex::<Vec<u32>>("sold/sku-17").unwrap();
        let mut orders = sold.peek().await.unwrap().value;
        orders.push(order);
        let mut guard = sold.lock().await.unwrap();
        *guard = orders;
        guard.commit().await.unwrap();
    }
    let none_is_gone = |before: Option<&Vec<u32>>, after: &Vec<u32>| {
        let before = before.map_or(&[][..], Vec::as_slice);
        let is_there = after.starts_with(before);
        is_there
            .then_some(())
            .ok_or_else(|| "an order is gone".to_owned())
    };
    let watch = Watch::new().each_commit("sold/", none_is_gone);
    let store = MemoryBackend::new();
    let one = FaultyBackend::new(store.another_client());
    let other = FaultyBackend::new(store);
    let one = LockClient::new(watch.around_as("one", one));
    let other = LockClient::new(watch.around_as("other", other));
    tokio::join!(sell(&one, 1), sell(&other, 2));
    let report = watch.verdict().to_string();
    assert!(PAGE.contains(&report), "the page lacks:\n{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_in_parallel_are_judged_right() {
    let watch = Watch::new();
    let store = MemoryBackend::new();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let (locks, _) = another(&watch, &store);
        for task in 0..2 {
            let mutex = locks.mutex::<u64>(format!("n{task}")).unwrap();
            tasks.push(tokio::spawn(async move {
                for _ in 0..50 {
                    mutex.update(add_one).await.unwrap();
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    let verdict = watch.verdict();
    verdict.assert_clean();
    assert_eq!(verdict.history().keys(), 2);
}
