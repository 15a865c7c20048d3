//! Setups and backends that would hang the suite or take it down, and input that is not meant.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::LockBackend;
use lock_testkit::SetupError;
use lock_testkit::conformance::{Standing, run};
use lock_testkit::subject::{ServedStore, Setup};

use super::{Defect, Memory, RELEASE, Shown, settings, summary};

/// What a setup does that it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unruly {
    ConnectPanics,
    Named,
    StoreBlocks,
    StoreNeverComes,
    StorePanics,
}

#[async_trait]
impl Setup for Unruly {
    fn name(&self) -> String {
        "un\u{1b}[2Jruly\n".to_owned()
    }

    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
        match self {
            Self::ConnectPanics => Ok(Box::new(NoEntry)),
            Self::Named => Memory(Defect::None).store().await,
            Self::StoreBlocks => loop {
                std::thread::park();
            },
            Self::StoreNeverComes => std::future::pending().await,
            Self::StorePanics => panic!("no disk"),
        }
    }
}

struct NoEntry;

#[async_trait]
impl ServedStore for NoEntry {
    async fn connect(&self, _: Option<SocketAddr>) -> Result<Arc<dyn LockBackend>, SetupError> {
        panic!("no entry")
    }
}

#[test]
fn a_setup_that_panics_blocks_or_never_comes_ends_the_run_with_what_it_did() {
    for (setup, said) in [
        (Unruly::ConnectPanics, "panicked: no entry"),
        (Unruly::StoreBlocks, "blocks its thread"),
        (Unruly::StoreNeverComes, "did not end within 1 s"),
        (Unruly::StorePanics, "panicked: no disk"),
    ] {
        let mut settings = settings().filter(RELEASE).exact();
        settings.case_max = Some(Duration::from_secs(1));
        let error = run(setup, settings).unwrap_err();
        assert!(error.to_string().contains(said), "{setup:?}: {error}");
    }
}

#[test]
fn a_name_with_control_characters_is_shown_escaped() {
    let summary = run(Unruly::Named, settings().filter(RELEASE).exact()).unwrap();
    let shown = summary.to_string();
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    assert!(shown.contains("un\\u{1b}[2Jruly\\n"), "{shown:?}");
}

#[test]
fn a_backend_that_blocks_its_thread_fails_and_the_run_ends() {
    let mut settings = settings().filter("peek");
    settings.case_max = Some(Duration::from_secs(5));
    let summary = summary(Defect::BlocksItsThread, settings);
    let failed = summary.failed().into_iter();
    let texts: Vec<&str> = failed
        .filter_map(|id| summary.standing(id)?.text())
        .collect();
    let blocked = texts
        .iter()
        .filter(|text| text.contains("is blocked"))
        .count();
    assert!(blocked >= 1, "{}", Shown(&summary));
    assert!(
        texts.iter().all(|text| text.contains("block")),
        "{}",
        Shown(&summary)
    );
}

#[test]
fn an_exact_name_of_no_case_is_an_error_and_a_name_of_another_target_is_not() {
    let typo = settings().filter("steps/no-such-case").exact();
    let error = run(Memory(Defect::None), typo).unwrap_err();
    assert!(
        error.to_string().contains("no case steps/no-such-case"),
        "{error}"
    );
    let others = settings().filter("module::a_test").exact();
    assert!(run(Memory(Defect::None), others).unwrap().cases.is_empty());
}

#[test]
fn a_line_of_the_seeds_file_that_is_no_plan_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seeds.txt");
    for line in ["plans/calm", "plans/clam {}", "plans/calm {\"seed\":1}"] {
        std::fs::write(&path, format!("# a comment\n\n{line}\n")).unwrap();
        let mut settings = settings().filter("plans/calm").exact();
        settings.seeds_file = Some(path.clone());
        let summary = summary(Defect::None, settings);
        let Some(Standing::Fail(text)) = summary.standing("plans/calm") else {
            panic!("{line}: {}", Shown(&summary));
        };
        assert!(text.contains("seeds.txt:3"), "{text}");
    }
}
