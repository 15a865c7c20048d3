//! `cargo xtask ci`: everything that must hold before a change lands.

use crate::Outcome;
use crate::run::{cargo, note, run, step};
use crate::{features, test, tidy};

/// Runs all checks, also after one failed, so that one run tells all.
pub(crate) fn ci() -> Outcome {
    let mut failed = Vec::new();
    let mut check = |what: &'static str, work: &dyn Fn() -> Outcome| {
        if let Err(e) = step(what, work) {
            eprintln!("xtask: {e}");
            failed.push(what);
        }
    };
    check("format", &|| run(&mut cargo(&["fmt", "--all", "--check"])));
    check("lints", &|| {
        let words = ["clippy", "--workspace", "--all-targets", "--all-features"];
        run(cargo(&words).args(["--", "-D", "warnings"]))
    });
    check("features", &|| features::features(&[]));
    check("documentation", &|| {
        let words = ["doc", "--workspace", "--no-deps", "--all-features"];
        run(cargo(&words).env("RUSTDOCFLAGS", "-Dwarnings"))
    });
    check("tidy", &tidy::tidy);
    check("tests", &|| test::test(&[]));
    if failed.is_empty() {
        note("all checks passed");
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")))
    }
}
