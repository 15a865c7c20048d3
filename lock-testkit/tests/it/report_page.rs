//! The page of a report in a real browser.
#![expect(
    clippy::indexing_slicing,
    reason = "what is not in the answer of the page is null, and fails what asks for it"
)]

mod browser;
mod scene;

use lock_testkit::history::History;
use lock_testkit::report::Report;
use lock_testkit::spec::Violation;
use serde_json::Value as Json;

use scene::history;

/// What the page is made to do, and what came of it.
fn told(history: &History, violation: &Violation, subject: &str) -> Json {
    let folder = tempfile::tempdir().unwrap();
    let report = Report::new(history, violation)
        .subject(subject)
        .case("seed 17");
    let mut report = report.replay("LOCK_CASE=17 cargo nextest run -p my-backend conformance");
    let written = report.write(folder.path()).unwrap();
    let page = std::fs::read_to_string(&written.page).unwrap();
    browser::told(&page, include_str!("report_page/selftest.js"))
}

fn number(of: &Json) -> f64 {
    of.as_f64().unwrap_or_else(|| panic!("{of} is no number"))
}

fn text(of: &Json) -> &str {
    of.as_str().unwrap_or_else(|| panic!("{of} is no text"))
}

fn span(view: &Json) -> f64 {
    number(&view["to"]) - number(&view["from"])
}

#[test]
fn a_reader_finds_the_core_and_looks_around() {
    let (history, violation) = history(40, "stock", "a", "paused");
    let told = told(&history, &violation, "memory");
    assert_eq!(told["errors"], Json::Array(Vec::new()));
    // It opens on the core, and the core is drawn.
    let opened = &told["opened"];
    assert!(
        number(&opened["view"]["from"]) > number(&told["end"]) * 0.5,
        "{opened}"
    );
    assert!(
        number(&opened["drawn"]) > 8.0 && number(&opened["rows"]) > 8.0,
        "{opened}"
    );
    let places = told["places"].as_array().unwrap();
    assert_eq!(places.len(), 3);
    for place in places {
        assert!(number(&place["colours"]) > 4.0, "{place}");
        let hovered = text(&place["hovered"]);
        for word in [
            "lock", "stock", "token", "asked", "answered", "took", "client",
        ] {
            assert!(hovered.contains(word), "{word} is not in {hovered}");
        }
    }
    let commit = text(&places[2]["hovered"]);
    assert!(
        commit.contains("contradicts: commit of client 1") && commit.contains("473.2 ms"),
        "{commit}"
    );
    assert!(told["awayFromAll"].is_null());
    looks_around(&told);
    chooses(&told);
}

fn near(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-6 * other.abs().max(1.0)
}

/// Zoom, pan and choice change what is seen as they should.
fn looks_around(told: &Json) {
    let full = span(&told["opened"]["view"]);
    assert!(number(&told["wheelIn"]) < 0.7, "{}", told["wheelIn"]);
    assert!(
        near(number(&told["wheelBack"]["span"]), full),
        "{}",
        told["wheelBack"]
    );
    assert!(
        number(&told["wheelBack"]["from"]).abs() < full * 1e-6,
        "{}",
        told["wheelBack"]
    );
    let dragged = number(&told["dragged"]["by"]);
    assert!(
        dragged > 0.0 && near(number(&told["dragged"]["span"]), full),
        "{}",
        told["dragged"]
    );
    assert!(near(number(&told["afterDrag"]), dragged));
    for (name, is_in) in [
        ("zoomIn", true),
        ("plusKey", true),
        ("zoomOut", false),
        ("minusKey", false),
    ] {
        let scale = number(&told[name]["scale"]);
        assert!(
            if is_in { scale < 0.9 } else { scale > 1.1 },
            "{name}: {scale}"
        );
    }
    for (name, is_later) in [
        ("left", false),
        ("leftKey", false),
        ("right", true),
        ("rightKey", true),
    ] {
        let moved = number(&told[name]["moved"]);
        assert!(moved != 0.0 && (moved > 0.0) == is_later, "{name}: {moved}");
    }
}

/// The whole, the core, a row of the table and another lock can be chosen.
fn chooses(told: &Json) {
    let full = span(&told["opened"]["view"]);
    let end = number(&told["end"]);
    let all = &told["all"];
    assert!(
        number(&all["view"]["from"]) <= 0.0 && number(&all["view"]["to"]) >= end,
        "{all}"
    );
    assert!(
        number(&all["drawn"]) > number(&told["opened"]["drawn"]),
        "{all}"
    );
    assert_eq!(text(&all["dataset"]["drawn"]), all["drawn"].to_string());
    assert!(near(span(&told["core"]["view"]), full), "{}", told["core"]);
    assert!(
        text(&told["visited"]["hovered"]).contains("acquire of client 1"),
        "{}",
        told["visited"]
    );
    assert!(
        told["keysShown"] == true && told["keys"][1] == "other",
        "{}",
        told["keys"]
    );
    assert!(
        told["otherKey"]["key"] == 1 && number(&told["otherKey"]["drawn"]) >= 2.0,
        "{}",
        told["otherKey"]
    );
    let texts = &told["texts"];
    assert_eq!(texts["property"], "FN-1");
    assert!(
        text(&texts["sentence"]).contains("took effect after token 42 had been granted"),
        "{texts}"
    );
    assert!(text(&texts["text"]).contains("[C* commit 41"), "{texts}");
    assert!(
        text(&texts["replay"]).starts_with("LOCK_CASE=17"),
        "{texts}"
    );
    assert_eq!(told["table"].as_array().unwrap().len(), 3);
    assert_eq!(told["unlabelled"], 0);
}

#[test]
fn names_and_values_stay_text() {
    let hostile = "</script><script>window.broken=1</script><img src=x onerror=\"window.broken=2\">\
        '\"`${window.broken=3}\u{0}\u{1b}\u{2028}\u{202e}\\u003c<!--ÄŸ🔒";
    let (history, violation) = history(3, hostile, hostile, hostile);
    let told = told(&history, &violation, hostile);
    assert_eq!(told["errors"], Json::Array(Vec::new()));
    assert!(told["broken"].is_null(), "{}", told["broken"]);
    assert_eq!(told["foreign"], 0);
    // The data, the page's own script, and what the test put in: a hook and the self-test.
    assert_eq!(told["scripts"], 4);
    let shown = text(&told["places"][0]["hovered"]);
    let start =
        "</script><script>window.broken=1</script><img src=x onerror=\"window.broken=2\">'\"`${";
    let rest = "\\u{0}\\u{1b}\\u{2028}\\u{202e}\\u003c<!--ÄŸ🔒";
    assert!(shown.contains(start) && shown.contains(rest), "{shown}");
    assert!(
        text(&told["keys"][0]).starts_with("</script><script>"),
        "{}",
        told["keys"]
    );
    assert!(
        text(&told["texts"]["names"]).contains(start),
        "{}",
        told["texts"]
    );
}

#[test]
fn a_hundred_thousand_operations_are_drawn_by_what_is_seen() {
    let (history, violation) = history(25_000, "stock", "a", "paused");
    assert!(history.operations().len() > 100_000);
    let told = told(&history, &violation, "memory");
    assert_eq!(told["errors"], Json::Array(Vec::new()));
    assert!(
        number(&told["opened"]["drawn"]) < 100.0,
        "{}",
        told["opened"]
    );
    let drawn = number(&told["all"]["drawn"]);
    assert!(drawn > 500.0 && drawn < 20_000.0, "{drawn}");
    assert!(text(&told["places"][2]["hovered"]).contains("contradicts: commit of client 1"));
}
