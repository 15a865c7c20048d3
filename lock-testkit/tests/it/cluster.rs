//! A cluster serves all slots.

use lock_testkit::resp::Reply;
use lock_testkit::service::RedisCluster;

#[tokio::test]
async fn three_nodes_share_the_slots() {
    let cluster = RedisCluster::start().await.unwrap();
    let mut owners = 0;
    for node in cluster.nodes() {
        match node.command(&["SET", "k", "v"]).await {
            Ok(reply) => {
                assert_eq!(reply, Reply::Status("OK".into()));
                owners += 1;
            }
            // A node that does not own the slot names the one that does, at a loopback address.
            Err(e) => {
                let text = e.to_string();
                assert!(text.contains("MOVED 7629 127.0.0.1:"), "{text}");
            }
        }
    }
    assert_eq!(owners, 1);
    assert_eq!(cluster.urls().len(), 3);
}
