use std::time::Duration;

use lock_core::{Clock, Moment, SystemClock};
use tempfile::TempDir;

use super::{Turn, Turnstile};

/// Far longer than it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn enter(turnstile: &mut Turnstile, within: Duration) -> Option<Turn> {
    let clock = SystemClock::new();
    let deadline: Moment = clock.now().after(within);
    turnstile.enter(&clock, deadline).await
}

fn at(folder: &TempDir) -> Turnstile {
    Turnstile::at(folder.path().to_owned())
}

#[tokio::test]
async fn the_turn_passes_to_the_next_when_it_is_dropped() {
    let folder = TempDir::new().unwrap();
    let (mut one, mut other) = (at(&folder), at(&folder));
    for _ in 0..20 {
        let turn = enter(&mut one, PATIENCE).await.unwrap();
        let waiting = enter(&mut other, PATIENCE);
        let mut waiting = std::pin::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        drop(turn);
        assert!(waiting.await.is_some());
    }
}

#[tokio::test]
async fn whoever_waited_in_vain_keeps_the_turn_from_nobody() {
    let folder = TempDir::new().unwrap();
    let (mut one, mut other, mut third) = (at(&folder), at(&folder), at(&folder));
    let turn = enter(&mut one, PATIENCE).await.unwrap();
    assert!(enter(&mut other, Duration::from_millis(5)).await.is_none());
    // Its thread still waits in the queue, and one of them is enough.
    assert!(enter(&mut other, PATIENCE).await.is_none());
    drop(turn);
    assert!(enter(&mut third, PATIENCE).await.is_some());
    assert!(enter(&mut one, PATIENCE).await.is_some());
}

#[tokio::test]
async fn without_a_folder_there_is_no_queue() {
    let folder = TempDir::new().unwrap();
    let mut turnstile = Turnstile::at(folder.path().join("missing"));
    assert!(enter(&mut turnstile, PATIENCE).await.is_none());
}
