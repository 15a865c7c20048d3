//! [`connect`] and [`Connector`]: a client by the URL of its store.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use lock_core::{Error, LockBackend, LockClient, LockClientBuilder, LockOptionsBuilder};

use crate::options::{self, CLIENT_OPTIONS};
use crate::requirement::{self, Requirement};
use crate::stores;
use crate::url::{StoreUrl, is_scheme};

/// A client of the store at this URL; see [`Connector`] for the options that it may have.
///
/// # Errors
/// - `Invalid` if the URL is malformed, or has an option that is unknown or out of bounds.
/// - `Unsupported` if no store has its scheme, the feature for it is off, or the store does not make
///   a promise that the URL requires.
/// - Those of the backend's own `connect`. No message and no source shows a password.
///
/// # Cancel safety
/// Safe to drop: nothing is left but a connection that closes.
///
/// # Examples
/// ```
/// # #[cfg(feature = "memory")] {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let locks = distributed_mutex::connect("memory:?ttl=5s").await?;
/// assert_eq!(locks.options().ttl().as_duration().as_secs(), 5);
/// assert!(distributed_mutex::connect("memory:?tll=5s").await.is_err());
/// # Ok::<(), distributed_mutex::Error>(()) }).unwrap();
/// # }
/// ```
pub async fn connect(url: &str) -> Result<LockClient, Error> {
    Connector::new().connect(url).await
}

/// Makes clients by URL: with schemes of other crates, and with promises that a store has to make.
///
/// Every URL may have the options of [`LockOptions`](lock_core::LockOptions), `ttl`,
/// `renew_interval`, `drift_allowance`, `request_timeout`, `patience`, `handover_max`,
/// `handover_time`, `poll_min`, `poll_max`, `forget_after` (or `never`), `max_state_bytes` and
/// `label`; `renewal_thread`, `true` or `false`, for
/// [a thread of their own](LockClientBuilder::renewal_thread) for renewals, which connects a second
/// time; and `require`, a list of [`Requirement`]s with commas between. A server's backend gives a
/// request up after `request_timeout` too. Besides, a `memory:` URL may
/// have `namespace`, a `sqlite:` URL `namespace`, `claim_time` and `busy_timeout`, a `redis:` URL
/// `namespace`, `claim_time` and `connect_timeout`, and a `postgres:` URL `schema`, `table`,
/// `migrate` and `unlogged` (`true` or `false`), `sslmode`, `max_connections`, `claim_time` and
/// `connect_timeout`.
/// Lengths of time are whole numbers with a unit: `500ms`, `10s`, `2m`, `1h`, `1d`. In values `%XX`
/// is decoded. What is unknown is refused.
///
/// Each `memory:` is a store of its own, so a namespace changes nothing there.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use distributed_mutex::{Connector, MemoryBackend, Requirement};
///
/// let connector = Connector::new()
///     .require(Requirement::Push)
///     // The backend of another crate would connect to `url.address()` here.
///     .scheme("mine", &["zone"], async |url| {
///         assert_eq!(url.option("zone"), Some("west"));
///         Ok(MemoryBackend::new())
///     });
/// let locks = connector.connect("mine://host/?zone=west&ttl=5s").await?;
/// assert!(locks.capabilities().push);
/// # Ok::<(), distributed_mutex::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Connector {
    schemes: BTreeMap<String, Scheme>,
    required: Vec<Requirement>,
    defaults: LockOptionsBuilder,
}

#[derive(Clone)]
struct Scheme {
    options: Vec<String>,
    open: Arc<Open>,
}

type Open =
    dyn Fn(StoreUrl) -> BoxFuture<'static, Result<Arc<dyn LockBackend>, Error>> + Send + Sync;

impl Connector {
    /// One that knows the stores of this library and requires nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Teaches it a scheme: the options that its URLs may have besides the client's, and how to
    /// connect. It goes before a store of this library with the same scheme. The function is given a
    /// URL without the client's options, and with none that was not declared. For a URL with
    /// `renewal_thread=true` it is called again, on that thread, and must connect to the same store.
    ///
    /// # Panics
    /// If the scheme is none: a lower-case letter, then lower-case letters, digits, `+`, `-` and `.`.
    #[must_use]
    pub fn scheme<B, F>(
        mut self,
        scheme: &str,
        options: &[&str],
        open: impl Fn(StoreUrl) -> F + Send + Sync + 'static,
    ) -> Self
    where
        B: LockBackend,
        F: Future<Output = Result<B, Error>> + Send + 'static,
    {
        assert!(is_scheme(scheme), "'{scheme}' is no scheme of a URL");
        let open = move |url| -> BoxFuture<'static, Result<Arc<dyn LockBackend>, Error>> {
            let opening = open(url);
            Box::pin(async move { Ok(Arc::new(opening.await?) as Arc<dyn LockBackend>) })
        };
        let scheme_of = Scheme {
            options: options.iter().map(|&name| name.to_owned()).collect(),
            open: Arc::new(open),
        };
        drop(self.schemes.insert(scheme.to_owned(), scheme_of));
        self
    }

    /// Refuses stores that do not make this promise, besides those that the URL itself requires.
    #[must_use]
    pub fn require(mut self, promise: Requirement) -> Self {
        self.required.push(promise);
        self
    }

    /// The options of its clients where the URL does not say otherwise.
    #[must_use]
    pub fn defaults(mut self, options: LockOptionsBuilder) -> Self {
        self.defaults = options;
        self
    }

    /// A client of the store at this URL.
    ///
    /// # Errors
    /// As [`connect()`].
    ///
    /// # Cancel safety
    /// Safe to drop: nothing is left but a connection that closes.
    pub async fn connect(&self, url: &str) -> Result<LockClient, Error> {
        Ok(self.builder(url).await?.build())
    }

    /// The same, for a client whose clock or chance is to differ. Options set there take the place of
    /// those in the URL.
    ///
    /// # Errors
    /// As [`connect()`].
    ///
    /// # Cancel safety
    /// Safe to drop: nothing is left but a connection that closes.
    pub async fn builder(&self, url: &str) -> Result<LockClientBuilder, Error> {
        let mut url = StoreUrl::parse(url)?;
        let registered = self.schemes.get(url.scheme());
        let own: Vec<&str> = match registered {
            Some(scheme) => scheme.options.iter().map(String::as_str).collect(),
            None => stores::of(url.scheme())?.options.to_vec(),
        };
        let mut known = [&own[..], &CLIENT_OPTIONS].concat();
        known.sort_unstable();
        url.only(&known)?;
        // All of the URL is checked before anything is sent.
        let options = options::take(&mut url, self.defaults.clone())?;
        let renewal_thread = options::take_renewal_thread(&mut url)?;
        let mut required = options::take_requirements(&mut url)?;
        required.extend(&self.required);
        let registered = registered.cloned();
        let request_timeout = options.request_timeout();
        let backend = open(registered.clone(), url.clone(), request_timeout).await?;
        requirement::check(&required, backend.kind(), &backend.capabilities())?;
        let builder = LockClientBuilder::new(Arc::clone(&backend)).options(options);
        if !renewal_thread {
            return Ok(builder);
        }
        // Each `memory:` is a store of its own, so its renewals share it.
        let shared = (registered.is_none() && url.scheme() == "memory").then_some(backend);
        Ok(builder.renewal_thread(move || {
            let (shared, registered, url) = (shared.clone(), registered.clone(), url.clone());
            async move {
                match shared {
                    Some(backend) => Ok(backend),
                    None => open(registered, url, request_timeout).await,
                }
            }
        }))
    }
}

/// Connects to the store of the URL, which has its backend's options and no others.
async fn open(
    registered: Option<Scheme>,
    url: StoreUrl,
    request_timeout: Duration,
) -> Result<Arc<dyn LockBackend>, Error> {
    match registered {
        Some(scheme) => (scheme.open)(url).await,
        None => stores::open(url, request_timeout).await,
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("schemes", &self.schemes.keys())
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}
