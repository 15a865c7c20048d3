use super::{Label, LabelParts};

#[track_caller]
fn back_and_forth(text: &str) {
    let label = Label::of_this_process().with_text(text);
    assert_eq!(label.parts().text.as_deref(), Some(text), "{label}");
}

#[test]
fn a_text_comes_back_as_it_was_given() {
    for text in [
        "nightly report",
        "a=b pid=7",
        "say \"hello\" \\ bye",
        "",
        "äöü",
        "line\nbreak\u{1b}[2J",
        "trace=x\" trace=y",
    ] {
        back_and_forth(text);
    }
}

#[test]
fn a_text_that_is_too_long_is_cut_and_the_rest_stays() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let label = Label::of_this_process()
        .with_trace(trace)
        .with_text(&"ä\"".repeat(200));
    assert!(label.as_str().len() <= Label::MAX_BYTES);
    let parts = label.parts();
    assert_eq!(parts.pid, Some(std::process::id()));
    assert_eq!(parts.trace.as_deref(), Some(trace));
    assert!(parts.text.is_some_and(|text| text.starts_with("ä\"ä\"")));
}

#[test]
fn a_label_of_another_form_is_a_text() {
    for label in [
        "worker 7",
        "a=b",
        "host=x pid=y",
        "text=\"open",
        "host=\"a\"b=c",
    ] {
        let parts = LabelParts::of(label);
        assert_eq!((parts.text.as_deref(), &parts.host), (Some(label), &None));
    }
    assert_eq!(LabelParts::of(""), LabelParts::default());
}

#[test]
fn control_characters_are_shown_escaped() {
    let label = Label::new("evil\u{1b}[2J\r\n").unwrap();
    let shown = label.parts().to_string();
    assert_eq!(shown, "evil\\u{1b}[2J\\r\\n");
    let own = Label::of_this_process().with_text("evil\u{7}");
    assert!(own.parts().to_string().ends_with(": evil\\u{7}"));
}
