//! [`RedisCluster`]: three primaries that share the slots.

use super::redis::{RedisServer, RedisServerOptions};
use crate::SetupError;

/// A Redis Cluster of three primaries without replicas, gone when it is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts a cluster with default options and waits until it serves.
    ///
    /// # Errors
    /// If a node does not start, or if they do not come together.
    ///
    /// # Cancel safety
    /// Safe to drop: what was started is ended.
    pub async fn start() -> Result<Self, SetupError> {
        Self::start_with(&RedisServerOptions::new()).await
    }

    /// Starts a cluster whose nodes have these options.
    ///
    /// # Errors
    /// If a node does not start, or if they do not come together.
    ///
    /// # Cancel safety
    /// Safe to drop: what was started is ended.
    pub async fn start_with(options: &RedisServerOptions) -> Result<Self, SetupError> {
        let options = options.clone().cluster();
        let (first, second, third) =
            tokio::try_join!(options.start(), options.start(), options.start())?;
        let cluster = Self {
            nodes: vec![first, second, third],
        };
        cluster.join().await?;
        Ok(cluster)
    }

    /// Shares out the slots, makes the nodes known to each other and waits until all agree. It is
    /// what `redis-cli --cluster create` does, without the program.
    async fn join(&self) -> Result<(), SetupError> {
        for ((index, node), slots) in (1..).zip(&self.nodes).zip(shares()) {
            let epoch = format!("{index}");
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch])
                .await?;
            let words = ["CLUSTER".to_owned(), "ADDSLOTS".to_owned()];
            let words: Vec<_> = words
                .into_iter()
                .chain(slots.map(|slot| slot.to_string()))
                .collect();
            node.command(&words).await?;
        }
        for node in &self.nodes {
            for other in &self.nodes {
                if other.port() != node.port() {
                    let port = other.port().to_string();
                    node.command(&["CLUSTER", "MEET", &other.host(), &port])
                        .await?;
                }
            }
        }
        for node in &self.nodes {
            node.until_cluster_serves().await?;
        }
        Ok(())
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The URL of each node: a client needs one of them and finds the others.
    #[must_use]
    pub fn urls(&self) -> Vec<&str> {
        self.nodes.iter().map(RedisServer::url).collect()
    }
}

fn shares() -> [std::ops::Range<u16>; 3] {
    [0..5461, 5461..10_922, 10_922..16_384]
}
