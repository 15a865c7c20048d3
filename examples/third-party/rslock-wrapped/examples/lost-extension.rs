//! Loses the reply to one extension of a lock of rslock, and prints what lock-testkit says of it.

use std::sync::Arc;

use lock_core::SystemClock;
use lock_testkit::SetupError;
use lock_testkit::proxy::{Fault, Then};
use lock_testkit::report::Report;
use lock_testkit::run::run;
use lock_testkit::spec::Verdict;
use rslock_wrapped::{EXTENDS, Rslock, lost_extension, verdict};

#[tokio::main]
async fn main() -> Result<(), SetupError> {
    let subject = Rslock::start().await?;
    let subject = subject.inject(0, EXTENDS(), Fault::DropReply(Then::Close));
    let history = run(&lost_extension(), &subject, Arc::new(SystemClock::new())).await?;
    let Verdict::Invalid(violation) = verdict(&history) else {
        println!("nothing was found this time");
        return Ok(());
    };
    let report = Report::new(&history, &violation)
        .subject("rslock 0.10.0 on one Redis")
        .case("the reply to one extension is lost")
        .replay("cargo run --example lost-extension");
    println!("{report}");
    Ok(())
}
