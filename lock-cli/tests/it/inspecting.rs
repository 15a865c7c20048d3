//! Who holds it, since when, is it alive, how do I get it free.

use rustix::process::Signal;

use crate::hand::{Place, Ran, until_true};

const HOLD: &str = "echo $$ > near; while :; do sleep 0.02; done";

#[test]
fn after_a_kill_one_command_names_host_process_age_and_time_left() {
    let place = Place::new();
    let holder = place.start(&["--label", "nightly report", "x"], HOLD);
    let _near = place.pid("near");
    holder.signal(Signal::KILL);
    let ran = place.run(&["status", "x"]).expect(0, "");
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    for part in [
        format!("{host} pid {} (dlock): nightly report", holder.pid()),
        "held for   ".to_owned(),
        "time left  ".to_owned(),
    ] {
        assert!(ran.out.contains(&part), "{part:?} is not in {ran:?}");
    }
    let list = place.run(&["list"]).out;
    assert!(list.contains("nightly report"), "{list}");
}

#[test]
fn a_status_names_the_trace_of_its_holder() {
    let place = Place::new();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut command = place.dlock(&["run", "x", "--", "sh", "-c", HOLD]);
    let _holder = crate::hand::Running(command.env("TRACEPARENT", trace).spawn().unwrap());
    let _near = place.pid("near");
    let ran = place.run(&["status", "x"]).expect(0, "");
    assert!(
        ran.out.contains(&format!("trace      {trace}\n")),
        "{ran:?}"
    );
}

#[test]
fn a_break_ends_the_holder_s_command_and_says_so_on_both_sides() {
    let place = Place::new();
    let holder = place.start(&["x"], HOLD);
    let _near = place.pid("near");
    let words = ["break", "x", "--reason", "it hangs", "--yes"];
    let ran = place.run(&words).expect(0, "");
    assert!(
        ran.out.contains("it was held by") && ran.out.contains("reason: it hangs"),
        "{ran:?}"
    );
    let _ended = holder.end().expect(75, "an operator released it by force");
    let ran = place.run(&["status", "x"]).expect(1, "");
    assert!(ran.out.contains("broken by force"), "{ran:?}");
}

#[test]
fn a_wait_ends_when_the_lock_is_free_and_fails_when_its_time_is_up() {
    let place = Place::new();
    let holder = place.start(&["x"], HOLD);
    let _near = place.pid("near");
    let _ran = place
        .run(&["wait", "x", "-w", "0.1", "-E", "3"])
        .expect(3, "is still held by");
    let waiting = place.dlock(&["wait", "x"]).spawn().unwrap();
    holder.signal(Signal::TERM);
    let _ended = holder.end();
    let _ran = Ran::of(&waiting.wait_with_output().unwrap()).expect(0, "");
}

#[test]
fn a_list_shows_names_with_a_prefix_and_who_waits() {
    let place = Place::new();
    let holders: Vec<_> = ["shop/a", "shop/b", "other"]
        .iter()
        .map(|name| place.start(&[name], "while :; do sleep 0.02; done"))
        .collect();
    until_true("all hold", || place.run(&["list"]).out.lines().count() == 4);
    let waiter = place.start(&["shop/a"], "true");
    until_true("it waits", || {
        let list = place.run(&["list", "shop/"]).out;
        let rows: Vec<Vec<&str>> = list
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(rows.len(), 3, "{list}");
        let row = rows.iter().find(|row| row.first() == Some(&"shop/a"));
        row.is_some_and(|row| row.contains(&"1"))
    });
    drop((waiter, holders));
}

#[test]
fn completions_and_pages_name_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = place.run(&["completions", shell]).expect(0, "");
        assert!(ran.out.contains("doctor"), "{shell}");
    }
    let _ran = place.run(&["man", "pages"]).expect(0, "");
    for page in ["dlock.1", "dlock-run.1", "dlock-break.1", "dlock-doctor.1"] {
        assert!(
            place.read(&format!("pages/{page}")).contains("dlock"),
            "{page}"
        );
    }
}

/// A program of the library holds the lock: `dlock` breaks it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_holder_s_commit_is_refused_as_forced() {
    use distributed_mutex::{ErrorKind, LossCause};

    let folder = Place::new();
    let server = lock_testkit::service::RedisServer::start().await.unwrap();
    for url in [
        format!("sqlite:{}", folder.file("locks.db").display()),
        server.url().to_owned(),
    ] {
        let locks = distributed_mutex::connect(&url).await.unwrap();
        let stock = locks.mutex::<u64>("stock").unwrap();
        let mut guard = stock.lock().await.unwrap();
        *guard = 7;
        let place = Place::at(&url);
        let words = ["break", "stock", "--reason", "test", "--yes"];
        let ran = tokio::task::spawn_blocking(move || place.run(&words)).await;
        let _broken = ran.unwrap().expect(0, "");
        let error = guard.commit().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LeaseLost, "{url}");
        assert_eq!(error.loss(), Some(LossCause::Forced), "{url}");
        assert_eq!(stock.peek().await.unwrap().value, 0, "{url}");
    }
}

/// Every store shows label, age, time left, who waits, and how the lease before ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_store_shows_the_same() {
    let folder = Place::new();
    let redis = lock_testkit::service::RedisServer::start().await.unwrap();
    let postgres = lock_testkit::service::PostgresServer::start()
        .await
        .unwrap();
    for url in [
        format!("sqlite:{}", folder.file("locks.db").display()),
        redis.url().to_owned(),
        format!("{}?migrate=true", postgres.url()),
    ] {
        let shown = tokio::task::spawn_blocking(move || shown(&url))
            .await
            .unwrap();
        for part in [
            "(dlock): nightly report",
            "held for   ",
            " if it is not renewed",
            "token      ",
            "waiting    1",
            "the last lease that is over was given up",
        ] {
            assert!(shown.contains(part), "{part:?} is not in {shown}");
        }
        assert!(!shown.contains('?'), "{shown}");
    }
}

fn shown(url: &str) -> String {
    let place = Place::at(url);
    let _first = place.run(&["run", "x", "--", "true"]).expect(0, "");
    let _holder = place.start(&["--label", "nightly report", "x"], HOLD);
    let _near = place.pid("near");
    let _waiter = place.start(&["x"], "true");
    until_true("it waits", || {
        place.run(&["status", "x"]).out.contains("waiting    1")
    });
    place.run(&["status", "x"]).out
}

#[test]
fn a_watched_list_is_shown_until_it_is_ended() {
    let place = Place::new();
    let holder = place.start(&["x"], HOLD);
    let _near = place.pid("near");
    let screen = std::fs::File::create(place.file("screen")).unwrap();
    let mut command = place.dlock(&["list", "--watch"]);
    let watching = crate::hand::Running(command.stdout(screen).spawn().unwrap());
    until_true("it is shown", || place.read("screen").contains("(dlock)"));
    holder.signal(Signal::TERM);
    let _ended = holder.end();
    until_true("it is shown no more", || {
        let screen = place.read("screen");
        let last = screen.rsplit("\u{1b}[H").next().unwrap_or_default();
        last.contains("NAME") && !last.contains("(dlock)")
    });
    drop(watching);
}
