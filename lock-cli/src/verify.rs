//! `dlock verify`: the conformance suite of the test kit on the store that is there.

mod guest;
mod place;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use distributed_mutex::{Error, LockBackend, LockOptions};
use lock_testkit::SetupError;
use lock_testkit::conformance::{self, CaseReport, Settings, Standing, Summary};
use lock_testkit::subject::{ServedStore, Setup};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::VerifyArgs;
use crate::codes;
use crate::output::{Escaped, complain, failed, print};
use crate::store;
use guest::{Guest, Visit};
use place::Place;

pub(crate) async fn verify(args: &VerifyArgs, url: Option<&str>) -> u8 {
    if let Some(text) = &args.case
        && !conformance::ids().iter().any(|id| id.contains(text))
    {
        complain(format_args!(
            "no case has '{}' in its name; they are called steps/…, claims/…, client/… and plans/…",
            Escaped(text)
        ));
        return codes::USAGE;
    }
    // Before there is something to take away.
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(e) => {
            complain(format_args!("listening to signals failed: {e}"));
            return codes::SOFTWARE;
        }
    };
    // What is wrong with the URL itself is said before a place is made beside what it names.
    let connected = async {
        let _locks = store::connect(url, LockOptions::builder()).await?;
        let place = Place::new(url)?;
        let backend = connect(&place.url).await?;
        Ok::<_, Error>((place, backend))
    };
    let (place, backend) = match connected.await {
        Ok(connected) => connected,
        Err(e) => return failed(&e),
    };
    let visit = Arc::new(Visit::default());
    let code = run(args, &place, &backend, &visit, &mut signals).await;
    if !place.is_a_folder() {
        visit.end(&backend).await;
    }
    drop(backend);
    place.leave().await;
    code
}

async fn run(
    args: &VerifyArgs,
    place: &Place,
    backend: &Arc<dyn LockBackend>,
    visit: &Arc<Visit>,
    signals: &mut Signals,
) -> u8 {
    let settings = settings(args);
    let seed = settings.seed;
    let guests = Guests {
        url: place.url.clone(),
        kind: place.kind.clone(),
        visit: Arc::clone(visit),
    };
    let running = tokio::task::spawn_blocking(|| conformance::run(guests, settings));
    let ran = tokio::select! {
        ran = running => ran,
        code = signals.any() => {
            progress("");
            complain("ended by a signal: what was found so far says nothing of the rest");
            return code;
        }
    };
    progress("");
    let summary = match ran {
        Ok(Ok(summary)) => summary,
        Ok(Err(e)) => {
            complain(Escaped(&format!("{e:?}")));
            return codes::UNAVAILABLE;
        }
        Err(e) => {
            complain(format_args!("the suite failed: {e}"));
            return codes::SOFTWARE;
        }
    };
    // Findings on a store that went away are none.
    if !summary.is_success()
        && let Err(e) = backend.examine().await
    {
        return failed(&e);
    }
    print(page(&summary, seed));
    if summary.is_success() {
        codes::OK
    } else {
        codes::REFUSED
    }
}

fn settings(args: &VerifyArgs) -> Settings {
    let mut settings = Settings::default().at_once(args.at_once);
    settings.is_quiet = true;
    settings.on_case = Some(ended);
    settings.histories = std::env::temp_dir().join(format!("dlock-verify-{}", std::process::id()));
    if let Some(seed) = args.seed {
        settings.seed = seed;
    }
    match &args.case {
        Some(text) => settings.filter(text),
        None => settings,
    }
}

/// Shows how far it is.
fn ended(report: &CaseReport) {
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    let count = ENDED.fetch_add(1, Ordering::Relaxed).saturating_add(1);
    progress(&format!("{count} cases: {}", report.id));
}

/// Where somebody looks.
fn progress(text: &str) {
    let mut err = std::io::stderr().lock();
    if err.is_terminal() {
        let _shown = write!(err, "\r{text}\u{1b}[K").and_then(|()| err.flush());
    }
}

/// What was found and what was not run, and the statement.
fn page(summary: &Summary, seed: u64) -> String {
    let mut text = String::new();
    for case in &summary.cases {
        let (word, why) = match &case.standing {
            Standing::Fail(why) => ("FOUND", why),
            Standing::ExpectedFailure(why) => ("not there", why),
            Standing::NotApplicable(why) | Standing::Skip(why) => ("not run", why),
            Standing::Pass(_) | _ => continue,
        };
        // As the kit says it to whoever tests a backend of their own.
        let why = why.replace(
            "the setup's store cannot suffer this",
            "not done to a server in use",
        );
        let lines = why.lines().map(|line| match line.starts_with("Replay ") {
            true => format!("Replay   dlock verify --case {} --seed {seed}", case.id),
            false => Escaped(line).to_string(),
        });
        let lines: Vec<String> = lines.collect();
        text.push_str(&format!(
            "{word:<10} {}: {}\n",
            case.id,
            lines.join("\n    ")
        ));
    }
    if !summary.is_success() {
        text.push_str(&format!("seed {seed}\n"));
    }
    text.push_str(&format!("{}\n", summary.statement()));
    text
}

async fn connect(url: &str) -> Result<Arc<dyn LockBackend>, Error> {
    let locks = store::connect(Some(url), LockOptions::builder()).await?;
    let backend = locks.mutex::<()>("none")?.backend().clone();
    Ok(backend)
}

/// The user's store as the suite has it: nothing can be done to its server, and to the network
/// before it only what a client can suffer by itself.
#[derive(Clone)]
struct Guests {
    url: String,
    kind: String,
    visit: Arc<Visit>,
}

#[async_trait]
impl Setup for Guests {
    fn name(&self) -> String {
        self.kind.clone()
    }

    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl ServedStore for Guests {
    async fn connect(&self, _: Option<SocketAddr>) -> Result<Arc<dyn LockBackend>, SetupError> {
        let inner = connect(&self.url)
            .await
            .map_err(|e| SetupError::new("cannot connect to the store").with_source(e))?;
        Ok(Arc::new(Guest {
            inner,
            visit: Arc::clone(&self.visit),
        }))
    }
}

/// What ends a run before its time.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn any(&mut self) -> u8 {
        let kind = tokio::select! {
            _ = self.hangup.recv() => SignalKind::hangup(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        };
        codes::of_signal(kind.as_raw_value())
    }
}
