use std::sync::Arc;

use lock_core::SystemClock;

use super::{History, NEVER, Operation, Outcome, Recorder, Step, Value};

#[test]
fn an_operation_is_48_bytes() {
    assert_eq!(size_of::<Operation>(), 48);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_as_lines_is_read_back() {
    let recorder = Recorder::new(Arc::new(SystemClock::new()));
    let acquire = recorder.invoke((1, 0), "a\n\"b", Step::Acquire, 0, 5_000, None);
    tokio::time::advance(std::time::Duration::from_millis(3)).await;
    recorder.read(acquire, 7, None);
    let commit = recorder.invoke((1, 0), "a\n\"b", Step::CommitRelease, 7, 0, Some("[7]"));
    recorder.complete(commit, Outcome::Done);
    drop(recorder.invoke((2, 3), "c", Step::Release, 9, 0, None));
    let late = recorder.invoke((2, 3), "c", Step::Release, 9, 0, None);
    recorder.over(late);
    let history = recorder.history();
    let mut lines = Vec::new();
    history.write_lines(&mut lines).unwrap();
    let back = History::read_lines(lines.as_slice()).unwrap();
    assert_eq!(back.operations(), history.operations());
    let [granted, written, lost, over] = back.operations() else {
        panic!("four operations");
    };
    assert_eq!(granted.value, Value::NONE);
    assert_eq!(granted.returned, 3_000_000);
    assert!(granted.returned < written.invoked && written.invoked < written.returned);
    assert_eq!(back.value_text(written.value), Some("[7]"));
    assert_eq!(back.key_name(granted.key), "a\n\"b");
    assert_eq!((lost.returned, lost.value), (NEVER, Value::UNSEEN));
    assert!(over.returned < NEVER && over.outcome == Outcome::Unknown);
}

#[test]
fn a_line_that_returned_before_it_was_invoked_is_refused() {
    let line =
        r#"{"key":"k","client":0,"step":"peek","outcome":"done","invoked_ns":5,"returned_ns":4}"#;
    let text = format!("\n{line}\n");
    assert_eq!(History::read_lines(text.as_bytes()).unwrap_err().line(), 2);
}
