//! The client on the backend when requests and replies get lost (C6, C7).

use lock_core::{LockClient, Previous};
use lock_testkit::{Fault, FaultyBackend, StepKind};

use crate::in_time;
use crate::server::Server;

async fn faulty(server: &Server) -> (FaultyBackend, LockClient) {
    let backend = FaultyBackend::new(server.backend().await);
    (backend.clone(), LockClient::new(backend))
}

#[tokio::test]
async fn whatever_gets_lost_each_commit_applies_once() {
    let server = Server::start().await;
    let (backend, locks) = faulty(&server).await;
    let counter = locks.mutex::<u64>("x").unwrap();
    let mut expected = 0;
    for step in [StepKind::Acquire, StepKind::Commit, StepKind::Release] {
        for fault in [Fault::Refuse, Fault::LoseRequest, Fault::LoseReply] {
            backend.next(step, fault);
            let before = backend.calls(step);
            let mut guard = in_time(counter.lock()).await.unwrap();
            assert_eq!(*guard, expected, "{step:?} {fault:?}");
            *guard += 1;
            expected += 1;
            if step == StepKind::Release {
                guard.save().await.unwrap();
                guard.release().await.unwrap();
            } else {
                guard.commit().await.unwrap();
            }
            assert!(backend.calls(step) >= before + 2, "{step:?} {fault:?}");
        }
    }
    let guard = in_time(counter.lock()).await.unwrap();
    assert_eq!((*guard, guard.previous()), (expected, Previous::Released));
}
