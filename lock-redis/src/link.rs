//! One connection as the driver makes it: to a single server, or to a cluster.

use std::sync::Arc;

use redis::aio::{MultiplexedConnection, SendError};
use redis::{AsyncConnectionConfig, Client, Cmd, PushInfo, PushKind, RedisResult, Value};

#[cfg(feature = "cluster")]
use redis::cluster_async::ClusterConnection;

use crate::config::RedisOptions;
use crate::connection::{Connector, Facts, Life};
use crate::error::Failure;
use crate::server::ServerInfo;

/// A connection; clones share it.
#[derive(Clone)]
pub(crate) enum Link {
    #[cfg(feature = "cluster")]
    Cluster(ClusterConnection),
    Single(MultiplexedConnection),
}

impl Link {
    pub(crate) async fn query(&self, cmd: &Cmd) -> RedisResult<Value> {
        match self {
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => cmd.query_async(&mut connection.clone()).await,
            Self::Single(connection) => cmd.query_async(&mut connection.clone()).await,
        }
    }

    /// Asks the primary that has this slot.
    pub(crate) async fn query_node(&self, cmd: Cmd, slot: Option<u16>) -> RedisResult<Value> {
        #[cfg(feature = "cluster")]
        if let (Self::Cluster(connection), Some(slot)) = (self, slot) {
            use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
            let route = Route::new(slot, SlotAddr::Master);
            let routing = RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(route));
            return connection
                .clone()
                .route_command(cmd, routing)
                .await?
                .extract_error();
        }
        #[cfg(not(feature = "cluster"))]
        let _single = slot;
        self.query(&cmd).await
    }

    /// Whether the driver reconnects by itself.
    pub(crate) fn heals_itself(&self) -> bool {
        match self {
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => true,
            Self::Single(_) => false,
        }
    }
}

/// Connects, looks at the server, arms tracking and subscribes to the client's channel.
pub(crate) async fn open(
    connector: &Connector,
    life: &Arc<Life>,
    seen_before: bool,
) -> Result<(Link, Facts), Failure> {
    install_tls();
    if connector.options.cluster {
        open_cluster(connector, life, seen_before).await
    } else {
        open_single(connector, life, seen_before).await
    }
}

async fn open_single(
    connector: &Connector,
    life: &Arc<Life>,
    seen_before: bool,
) -> Result<(Link, Facts), Failure> {
    let at = connector.at.as_str();
    let failed = |error| Failure::connecting(error, at);
    let wakeups = Arc::clone(&connector.wakeups);
    let driver = Driver(Arc::clone(life));
    let pushed = move |push: PushInfo| -> Result<(), SendError> {
        if push.kind == PushKind::Disconnection {
            driver.ended();
        } else {
            wakeups.take(&push);
        }
        Ok(())
    };
    // The bounds are the connector's own: they also cover the wait for the connection.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(REQUESTS_QUEUED_MAX)
        .set_push_sender(pushed);
    let client = client(&connector.options).map_err(failed)?;
    let connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .map_err(failed)?;
    // One round trip: they are sent together.
    let link = Link::Single(connection.clone());
    let mut subscriber = connection;
    let mut info = redis::cmd("INFO");
    info.arg("default");
    let mut appendfsync = redis::cmd("CONFIG");
    appendfsync.arg("GET").arg("appendfsync");
    // NOLOOP: what this client changes itself is no loss.
    let mut tracking = redis::cmd("CLIENT");
    tracking.arg("TRACKING").arg("ON").arg("NOLOOP");
    let (info, appendfsync, tracking, subscribed) = tokio::join!(
        link.query(&info),
        link.query(&appendfsync),
        link.query(&tracking),
        subscriber.subscribe(&connector.channel),
    );
    subscribed.map_err(failed)?;
    let info = text(&info.map_err(failed)?);
    let info = ServerInfo::parse(&info);
    info.check(
        at,
        connector.options.allowed_eviction_policy.as_deref(),
        seen_before,
    )?;
    let facts = Facts {
        tracking: tracking.is_ok(),
        durability: info.durability(
            appendfsync
                .ok()
                .map(|v| text(&v))
                .as_deref()
                .and_then(last_word),
        ),
    };
    Ok((link, facts))
}

#[cfg(feature = "cluster")]
async fn open_cluster(
    connector: &Connector,
    life: &Arc<Life>,
    seen_before: bool,
) -> Result<(Link, Facts), Failure> {
    use redis::ProtocolVersion;
    use redis::cluster::ClusterClientBuilder;
    use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};

    let options = &connector.options;
    let at = connector.at.as_str();
    let failed = |error| Failure::connecting(error, at);
    let wakeups = Arc::clone(&connector.wakeups);
    let driver = Driver(Arc::clone(life));
    let pushed = move |push: PushInfo| -> Result<(), SendError> {
        let _keep_whole = &driver;
        // The driver reconnects and subscribes again; what was pushed in between is lost.
        if matches!(push.kind, PushKind::Disconnection | PushKind::Subscribe) {
            wakeups.stir();
        } else {
            wakeups.take(&push);
        }
        Ok(())
    };
    let builder = ClusterClientBuilder::new([options.info.clone()])
        .use_protocol(ProtocolVersion::RESP3)
        .connection_timeout(options.connect_timeout)
        .response_timeout(options.request_timeout)
        .overall_response_timeout(None)
        // Each step may be sent twice. The default of 16 would outlast every bound of ours.
        .retries(3)
        .push_sender(pushed);
    #[cfg(feature = "rustls")]
    let builder = match &options.root_certificate {
        Some(pem) => builder.certs(redis::TlsCertificates {
            client_tls: None,
            root_cert: Some(pem.clone()),
        }),
        None => builder,
    };
    let client = builder.build().map_err(failed)?;
    // The driver owns the callback, and with it the word that it ended.
    let mut connection = client.get_async_connection().await.map_err(failed)?;
    drop(client);
    let mut info = redis::cmd("INFO");
    info.arg("default");
    let masters = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
    let mut subscriber = connection.clone();
    let (infos, subscribed) = tokio::join!(
        connection.route_command(info, masters),
        subscriber.subscribe(&connector.channel),
    );
    subscribed.map_err(failed)?;
    let allowed = options.allowed_eviction_policy.as_deref();
    if let Value::Map(infos) = infos.map_err(failed)? {
        for (node, info) in &infos {
            let node = format!("{at} (node {})", text(node));
            ServerInfo::parse(&text(info)).check(&node, allowed, seen_before)?;
        }
    }
    Ok((Link::Cluster(connection), Facts::default()))
}

#[cfg(not(feature = "cluster"))]
async fn open_cluster(
    connector: &Connector,
    life: &Arc<Life>,
    seen_before: bool,
) -> Result<(Link, Facts), Failure> {
    // RedisOptions refuses the URL before it comes to this.
    open_single(connector, life, seen_before).await
}

/// Says, when the driver's task drops it, that the connection is over: also when the driver was cut
/// down with its runtime.
struct Driver(Arc<Life>);

impl Driver {
    fn ended(&self) {
        self.0.end();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn client(options: &RedisOptions) -> RedisResult<Client> {
    #[cfg(feature = "rustls")]
    if let Some(pem) = &options.root_certificate {
        return Client::build_with_tls(
            options.info.clone(),
            redis::TlsCertificates {
                client_tls: None,
                root_cert: Some(pem.clone()),
            },
        );
    }
    Client::open(options.info.clone())
}

/// rustls takes its cryptography from the process; if the program chose none, it is ring.
fn install_tls() {
    #[cfg(feature = "rustls")]
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error says that somebody else was faster, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

/// A reply as text; the replies to INFO and CONFIG GET are.
pub(crate) fn text(value: &Value) -> String {
    if let Value::Map(pairs) = value {
        return pairs
            .iter()
            .map(|(key, value)| format!("{} {}", text(key), text(value)))
            .collect();
    }
    redis::from_redis_value_ref(value).unwrap_or_default()
}

fn last_word(text: &str) -> Option<&str> {
    text.rsplit(' ').next()
}

/// How many requests may wait to be written before callers wait: a burst of a thousand fits.
const REQUESTS_QUEUED_MAX: usize = 1024;
