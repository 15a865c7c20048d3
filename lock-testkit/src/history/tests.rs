use std::sync::Arc;

use lock_core::SystemClock;

use super::{Belief, History, Mark, MarkKind, NEVER, Operation, Outcome, Recorder, Step, Value};

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
    let pause = recorder.now();
    tokio::time::advance(std::time::Duration::from_millis(2)).await;
    recorder.mark(pause, Some(2), "paused \"\n\u{1}é");
    recorder.believe("a\n\"b", |key| Belief {
        key,
        client: 1,
        task: 4,
        token: 7,
        from: 9,
        until: 3,
    });
    recorder.believe("seen by a belief alone", |key| Belief {
        key,
        client: 2,
        task: 0,
        token: 0,
        from: 5,
        until: NEVER,
    });
    recorder.heal();
    let mut history = recorder.history();
    let key = history.beliefs()[0].key;
    history.mark(Mark {
        from: 1,
        until: NEVER,
        kind: MarkKind::Restart,
        client: None,
        text: "store stopped".to_owned(),
    });
    let mut lines = Vec::new();
    history.write_lines(&mut lines).unwrap();
    let back = History::read_lines(lines.as_slice()).unwrap();
    assert_eq!(back.operations(), history.operations());
    assert_eq!(back.beliefs(), history.beliefs());
    assert_eq!(back.key_name(key), "a\n\"b");
    assert_eq!(back.marks(), history.marks());
    assert!(back.healed_at().is_some() && back.healed_at() == history.healed_at());
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

#[test]
fn lines_of_a_history_without_notes_are_read_as_before() {
    let line = r#"{"key":"mark","client":0,"step":"peek","outcome":"done","invoked_ns":5}"#;
    let history = History::read_lines(line.as_bytes()).unwrap();
    assert_eq!(history.operations().len(), 1);
    assert!(history.beliefs().is_empty() && history.marks().is_empty());
    assert_eq!(history.healed_at(), None);
}

#[test]
fn a_bad_note_is_refused_by_the_number_of_its_line() {
    let good = r#" { "healed_ns" : 5 }"#;
    let bad = [
        r#"{"healed_ns":-5}"#,
        r#"{"belief":{"key":"k","client":0,"from_ns":1}}"#,
        r#"{"mark":{"from_ns":1,"until_ns":2,"client":0}}"#,
        r#"{"marks":{"from_ns":1,"text":""}}"#,
        r#"{"mark":{"from_ns":1,"text":""},"healed_ns":1}"#,
    ];
    for bad in bad {
        let text = format!("{good}\n{bad}\n");
        let error = History::read_lines(text.as_bytes()).unwrap_err();
        assert_eq!(error.line(), 2, "{bad}");
    }
}

#[test]
fn a_field_that_is_unknown_is_refused_and_not_read_over() {
    let line = r#"{"key":"k","client":0,"step":"peek","outcome":"done","invoked_ns":5,"tokn":5}"#;
    let error = History::read_lines(line.as_bytes()).unwrap_err();
    assert!(format!("{error:?}").contains("tokn"), "{error:?}");
}
