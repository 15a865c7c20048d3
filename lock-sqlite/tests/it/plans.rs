//! Random plans on a file, judged by the checker of histories.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use lock_core::{Clock, LockBackend, SystemClock};
use lock_testkit::SetupError;
use lock_testkit::hunt::Plans;
use lock_testkit::judge::{Rules, judge};
use lock_testkit::plan::{Mix, Plan};
use lock_testkit::run::run;
use lock_testkit::spec::Verdict;
use lock_testkit::subject::{Served, ServedStore, Setup, Subject};

use crate::file::Locks;

struct Sqlite;

#[async_trait]
impl Setup for Sqlite {
    fn name(&self) -> String {
        "sqlite".to_owned()
    }

    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
        Ok(Box::new(Store(Locks::new())))
    }
}

struct Store(Locks);

#[async_trait]
impl ServedStore for Store {
    async fn connect(&self, _: Option<SocketAddr>) -> Result<Arc<dyn LockBackend>, SetupError> {
        Ok(Arc::new(self.0.backend().await))
    }
}

fn cases() -> usize {
    let asked = std::env::var("LOCK_TESTKIT_CASES").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(20)
}

/// In real time on a shared machine nothing says how long a wait may take; what is judged is who held
/// what, which tokens were granted and which values were read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_plans_on_a_file_break_no_promise() {
    let served = Arc::new(Served::start(&Sqlite).await.unwrap());
    let traits = served.traits();
    let plans: Vec<Plan> = Plans::new(&Mix::served(&traits), 11)
        .take(cases())
        .collect();
    assert!(!plans.is_empty());
    let runs = plans.into_iter().map(|plan| {
        let served = Arc::clone(&served);
        async move {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            let history = run(&plan, &*served, clock).await.unwrap();
            let verdict = judge(&history, &Rules::of(&traits, true));
            if let Verdict::Invalid(violation) = &verdict {
                panic!("{}\n{}", violation.explain(&history), plan.to_line());
            }
            assert_eq!(verdict, Verdict::Valid, "{}", plan.to_line());
            history.operations().len()
        }
    });
    let mut runs = stream::iter(runs).buffer_unordered(6);
    let mut operations = 0;
    while let Some(ran) = runs.next().await {
        operations += ran;
    }
    assert!(operations > 100, "only {operations} operations");
}
