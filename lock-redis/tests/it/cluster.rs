//! A cluster of three primaries.

use std::time::Duration;

use lock_core::{LockBackend, Renew, Renewal};
use lock_redis::{RedisBackend, RedisOptions};
use lock_testkit::service::RedisCluster;

use crate::{
    asks, commits, granted, granted_in_time, hinted, is_committed, name, owner, refused, ttl,
};

async fn backend(cluster: &RedisCluster) -> RedisBackend {
    let url = cluster.urls()[0].replace("redis://", "redis-cluster://");
    let options = RedisOptions::new(&url).unwrap();
    options
        .request_timeout(Duration::from_secs(10))
        .connect_timeout(Duration::from_secs(10))
        .claim_time(Duration::from_secs(5))
        .connect()
        .await
        .unwrap()
}

#[tokio::test]
async fn every_step_works_in_every_slot() {
    let cluster = RedisCluster::start().await.unwrap();
    let (a, b) = (backend(&cluster).await, backend(&cluster).await);
    assert!(!a.capabilities().loss_alarm);
    let mut renewals = Vec::new();
    for i in 0..30 {
        let lock = format!("lock {{{i}}}");
        let request = asks(&lock, owner());
        let grant = granted(&a, &request).await;
        assert!(is_committed(
            &a.commit(&commits(&lock, request.owner, &grant, 1, &lock))
                .await
                .unwrap()
        ));
        renewals.push(Renew::new(
            name(&lock),
            request.owner,
            grant.token,
            ttl(60_000),
        ));
    }
    for answer in a.renew(&renewals).await {
        assert_eq!(answer.unwrap(), Renewal::Renewed { others_wait: false });
    }
    assert_eq!(b.list("lock", 100).await.unwrap().len(), 30);
    for renew in &renewals {
        let peeked = b.peek(&renew.name).await.unwrap().unwrap();
        assert_eq!(peeked.state.bytes(), renew.name.as_str().as_bytes());
        let waiter = asks(renew.name.as_str(), owner()).standing_in_line();
        let mut hints = b.watch(&renew.name).await.unwrap();
        refused(&b, &waiter).await;
        a.release(&renew.name, renew.owner).await.unwrap();
        hinted(&mut hints).await;
        granted_in_time(&b, &waiter).await;
    }
}
