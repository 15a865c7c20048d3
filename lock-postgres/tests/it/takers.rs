//! Many ask for one row at once.

use std::sync::Arc;

use futures_util::future::join_all;
use lock_core::{Acquisition, LockBackend, Previous};

use crate::server::Server;
use crate::{asks, granted, name, owner, ttl, until};

/// Each by a connection of its own, so that their statements meet at the server.
async fn takers(server: &Server, count: u32) -> Arc<lock_postgres::PostgresBackend> {
    let options = server.options().max_connections(count);
    let backend = options.connect().await.unwrap();
    // All connections stand before it counts.
    let name = name("warm");
    join_all((0..count).map(|_| backend.peek(&name))).await;
    Arc::new(backend)
}

async fn all_ask(backend: &Arc<lock_postgres::PostgresBackend>, lock: &str) -> Vec<Acquisition> {
    let tasks = (0..64).map(|_| {
        let (backend, request) = (Arc::clone(backend), asks(lock, owner()));
        tokio::spawn(async move { backend.acquire(&request).await.unwrap() })
    });
    let answers = join_all(tasks).await;
    answers.into_iter().map(Result::unwrap).collect()
}

fn tokens(answers: &[Acquisition]) -> Vec<u64> {
    let token = |answer: &Acquisition| match answer {
        Acquisition::Granted(grant) => Some(grant.token.get()),
        Acquisition::Refused(refusal) => {
            assert!(refusal.holder_expires_in.unwrap().as_millis() > 0);
            None
        }
        other => panic!("expected a grant or a refusal, got {other:?}"),
    };
    answers.iter().filter_map(token).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_ask_at_once_one_is_granted() {
    let server = Server::start().await;
    let backend = takers(&server, 32).await;
    for round in 0..10 {
        // A name that was never seen.
        let lock = format!("new-{round}");
        assert_eq!(tokens(&all_ask(&backend, &lock).await).len(), 1);

        // A lease that ran out.
        let lock = format!("expired-{round}");
        let mut short = asks(&lock, owner());
        short.ttl = ttl(50);
        let old = granted(&backend, &short).await;
        until(|| async {
            let info = backend.inspect(&name(&lock)).await.unwrap();
            info.holder.is_none().then_some(())
        })
        .await;
        let answers = all_ask(&backend, &lock).await;
        let [token] = tokens(&answers)[..] else {
            panic!("one is granted: {answers:?}");
        };
        assert!(token > old.token.get());
        for answer in answers {
            if let Acquisition::Granted(grant) = answer {
                let (owner, token) = (short.owner, old.token);
                assert_eq!(grant.previous, Previous::Abandoned { owner, token });
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_row_that_is_forgotten_while_many_ask_is_granted_to_one() {
    let server = Server::start().await;
    let backend = takers(&server, 32).await;
    for round in 0..10 {
        let lock = format!("gone-{round}");
        let mut short = asks(&lock, owner());
        short.ttl = ttl(50);
        granted(&backend, &short).await;
        let delete = format!("DELETE FROM lock_records WHERE name = '{lock}'");
        let (answers, _) = tokio::join!(all_ask(&backend, &lock), server.say(&delete));
        // The delete may come after a grant, as if an operator had done it.
        let granted = tokens(&answers).len();
        assert!(granted <= 2, "{granted}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_ask_at_once_one_is_granted_whatever_isolation_the_database_has() {
    let server = Server::start().await;
    for isolation in ["repeatable read", "serializable"] {
        server
            .say(&format!(
                "ALTER DATABASE postgres SET default_transaction_isolation = '{isolation}'"
            ))
            .await;
        server.options().migrate().await.unwrap();
        let backend = takers(&server, 32).await;
        for round in 0..5 {
            let lock = format!("{isolation}-{round}");
            assert_eq!(tokens(&all_ask(&backend, &lock).await).len(), 1);
        }
    }
}

#[tokio::test]
async fn an_attempt_that_waited_for_something_else_than_the_row_is_not_refused() {
    let server = Server::start().await;
    let backend = Arc::new(server.backend().await);
    let timeouts = || async { server.log().await.matches("lock timeout").count() };
    let pool = sqlx::PgPool::connect(server.url()).await.unwrap();
    for round in 0..20 {
        // Somebody is just making the row, and does not in the end.
        let lock = format!("new-{round}");
        let mut makes = pool.begin().await.unwrap();
        let row = "INSERT INTO lock_records (name, changes, last_token) VALUES ($1, 1, 1)";
        let row = sqlx::query(row).bind(&lock);
        row.execute(&mut *makes).await.unwrap();
        let (before, backend) = (timeouts().await, Arc::clone(&backend));
        let asking = tokio::spawn(async move { backend.acquire(&asks(&lock, owner())).await });
        until(|| async { (timeouts().await > before).then_some(()) }).await;
        makes.rollback().await.unwrap();
        match asking.await.unwrap().unwrap() {
            Acquisition::Granted(_) => return,
            // The machine was too busy: the second wait was over as well.
            Acquisition::Refused(_) => {}
            other => panic!("expected a grant, got {other:?}"),
        }
    }
    panic!("no attempt was granted");
}
