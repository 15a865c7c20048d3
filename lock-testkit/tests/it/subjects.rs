//! Subjects of one's own, whose clients are no backends.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Capabilities, Clock, Effect, Then};
use lock_testkit::history::{Outcome, Step};
use lock_testkit::plan::{Act, End, Plan};
use lock_testkit::run::run_virtual;
use lock_testkit::subject::{
    Acquired, Ask, Client, Failure, Held, Read, ServerFault, Subject, Traits, World,
};
use lock_testkit::{Link, SetupError, Weather};

/// A lock of its own making, whose calls go over no link and all fail as nobody knows how.
struct Unheard;

fn unheard<T>() -> Result<T, Failure> {
    Err(Failure::new(Effect::Unknown, "no answer"))
}

#[async_trait]
impl Client for Unheard {
    async fn acquire(&self, _: &Ask) -> Result<Acquired, Failure> {
        unheard()
    }

    async fn renew(&self, _: &mut Held, _: Duration) -> Result<bool, Failure> {
        unheard()
    }

    async fn commit(&self, _: &mut Held, _: &str, _: Then) -> Result<bool, Failure> {
        unheard()
    }

    async fn release(&self, _: &mut Held) -> Result<bool, Failure> {
        unheard()
    }

    async fn peek(&self, _: &str) -> Result<(Read, u64), Failure> {
        unheard()
    }
}

#[async_trait]
impl World for Unheard {
    async fn client(&self, _: u32, _: Link) -> Result<Arc<dyn Client>, SetupError> {
        Ok(Arc::new(Self))
    }

    async fn server(&self, _: &ServerFault) -> Result<bool, SetupError> {
        Ok(false)
    }
}

#[async_trait]
impl Subject for Unheard {
    fn name(&self) -> String {
        "unheard".to_owned()
    }

    fn traits(&self) -> Traits {
        let mut traits = Traits::of(Capabilities::none());
        (traits.tokens, traits.state) = (false, false);
        traits
    }

    async fn world(&self, _: u64, _: Arc<dyn Clock>) -> Result<Box<dyn World>, SetupError> {
        Ok(Box::new(Self))
    }
}

#[test]
fn a_failure_of_a_client_that_no_link_tells_of_stays_unknown() {
    let hold = Act::Hold {
        key: 0,
        wait_ms: 0,
        work: Vec::new(),
        end: End::Release,
    };
    let plan = Plan {
        seed: 0,
        ttl_ms: 100,
        keys: 1,
        weather: Weather::CALM,
        clients: vec![vec![vec![hold]]],
        faults: Vec::new(),
    };
    let history = run_virtual(&plan, &Unheard).unwrap();
    let all = history.operations().iter();
    let acquires: Vec<_> = all.filter(|o| o.step == Step::Acquire).collect();
    assert!(!acquires.is_empty());
    assert!(acquires.iter().all(|o| o.outcome == Outcome::Unknown));
}
