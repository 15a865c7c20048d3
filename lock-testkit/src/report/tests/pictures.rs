//! Whole reports.

use super::{BOUND, Report, Script, Violation, check, core};
use crate::history::{History, Outcome, Step};
use crate::spec::{Bound, Property, Verdict};

use Outcome::{Done, Refused, Unknown};
use Step::{Acquire, Commit, Release, Renew};

/// A client that slept past its ttl commits after another was granted.
fn late_commit() -> Script {
    Script::new()
        .add(1, (0, 12), Acquire, Done, 7)
        .add(0, (14, 0), Acquire, Unknown, 0)
        .add(0, (620, 804), Acquire, Done, 8)
        .add(2, (650, 656), Acquire, Refused, 0)
        .add(1, (812, 819), Commit, Done, 7)
        .belief(1, 7, (12, 495))
        .belief(0, 8, (804, 1_100))
        .mark(Some(1), (300, 809), "paused")
}

#[test]
fn a_report_reads_as_agreed() {
    let script = late_commit();
    let violation = script.found(Property::Fn1);
    let report = Report::new(&script.history, &violation)
        .subject("memory without a fence")
        .case("seed 17")
        .replay("LOCK_CASE=17 cargo nextest run -p my-backend conformance");
    let golden = include_str!("golden.txt");
    assert_eq!(report.to_string(), golden, "\n{report}");
}

#[test]
fn operations_that_overlap_or_never_return_have_lines_of_their_own() {
    let script = Script::new()
        .add(1, (0, 12), Acquire, Done, 7)
        .add(1, (100, 0), Renew, Unknown, 7)
        .add(1, (110, 120), Release, Refused, 7)
        .add(1, (105, 130), Commit, Done, 7);
    let violation = Violation::new(Property::Ow2, BOUND, &[1, 2, 3]);
    let text = Report::new(&script.history, &violation).to_string();
    let line = |start: &str| text.lines().find(|line| line.contains(start)).unwrap_or("");
    let (first, second, third) = (line("[A acquire 7"), line("[C*"), line("[D*"));
    assert!(
        first.starts_with("client 1 ") && first.contains("[B* renew 7 ?"),
        "{text}"
    );
    assert!(first.ends_with('…'), "{text}");
    assert!(
        second.starts_with(' ') && third.starts_with(' ') && second != third,
        "{text}"
    );
    assert!(
        text.contains(
            "B* client 1: renewal, token 7, ttl 50 ms: outcome unknown (from 10.0 ms, never"
        ),
        "{text}"
    );
}

#[test]
fn the_core_is_the_culprits_and_the_grants_of_their_tokens() {
    let script = late_commit();
    let violation = script.found(Property::Fn1);
    assert_eq!(core(&script.history, &violation), [0, 2, 4]);
    let only = Violation::new(Property::Fn1, BOUND, &[4]);
    assert_eq!(core(&script.history, &only), [0, 4]);
    let mut strange = Violation::new(Property::Fn1, BOUND, &[99, 4, 4]);
    strange.culprits.extend([3, 2, 1, 0, 4, 99]);
    assert_eq!(core(&script.history, &strange), [0, 1, 2, 3, 4]);
}

#[test]
fn what_is_said_to_be_missing_of_a_bound_is_what_makes_it_legal() {
    let granted = || Script::new().add(0, (0, 10), Acquire, Done, 7);
    let short = granted().add(1, (310, 317), Acquire, Done, 8);
    let renewed = granted().add(0, (200, 210), Renew, Done, 7);
    let renewed = renewed.add(1, (610, 620), Acquire, Done, 8);
    let told = granted().add(0, (301, 302), Commit, Refused, 7);
    let stolen = granted().add(1, (750, 755), Acquire, Done, 8);
    let stolen = stolen.add(0, (740, 780), Release, Done, 7);
    let stolen = stolen.add(2, (790, 800), Acquire, Done, 9);
    let all = [
        (
            short,
            Property::Ls1,
            500_000 * 100 - 25_000 - 1_000_000 - 31_700_000,
        ),
        (
            renewed,
            Property::Ls3,
            70_000_000 - 25_000 - 1_000_000 - 62_000_000,
        ),
        (
            told,
            Property::Ls1,
            50_000_000 - 25_000 - 1_000_000 - 30_200_000,
        ),
        (
            stolen,
            Property::Me1,
            125_000_000 - 25_000 - 1_000_000 - 80_000_000,
        ),
    ];
    for (script, property, missed) in all {
        let violation = script.found(property);
        let said = super::super::missed::missed_ns(&script.history, &violation);
        assert_eq!(said, Some(missed), "{property}");
        let with = |more| {
            check(
                &script.history,
                Bound::timed(500, 1_000_000 + more),
                100_000,
            )
        };
        assert_eq!(with(missed), Verdict::Valid, "{property}");
        assert!(
            matches!(with(missed - 1), Verdict::Invalid(_)),
            "{property}"
        );
        let text = Report::new(&script.history, &violation).to_string();
        let text: Vec<&str> = text.split_whitespace().collect();
        let text = text.join(" ");
        assert!(
            text.contains("ms of clock error beyond that to be legal"),
            "{text}"
        );
    }
    let late = late_commit();
    let text = Report::new(&late.history, &late.found(Property::Fn1)).to_string();
    assert!(!text.contains("to be legal"), "{text}");
}

#[test]
fn a_report_is_written_as_three_files_that_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let script = late_commit();
    let violation = script.found(Property::Fn1);
    let report = Report::new(&script.history, &violation)
        .subject("../up")
        .case("é / 1");
    let mut report = report.replay("again");
    let written = report.write(folder.path().join("new")).unwrap();
    for path in [&written.text, &written.lines, &written.page] {
        assert!(path.starts_with(folder.path().join("new")), "{path:?}");
        assert!(!path.to_string_lossy().contains("/../"), "{path:?}");
    }
    let text = std::fs::read_to_string(&written.text).unwrap();
    assert_eq!(text, report.to_string());
    assert!(
        text.contains(&format!("History  {}", written.lines.display())),
        "{text}"
    );
    assert!(
        text.contains(&format!("Page     {}", written.page.display())),
        "{text}"
    );
    let lines = std::fs::File::open(&written.lines).unwrap();
    let back = History::read_lines(std::io::BufReader::new(lines)).unwrap();
    assert_eq!(back.operations(), script.history.operations());
    assert_eq!(
        (back.beliefs(), back.marks()),
        (script.history.beliefs(), script.history.marks())
    );
}

#[test]
fn names_cannot_leave_the_page_nor_act_on_a_terminal() {
    let hostile = "</script><script>bad()</script><!--script--><img src=x onerror='bad()'>\u{1b}[31m\u{2028}é\n\0";
    let script = Script::new().on(hostile).add(0, (0, 10), Acquire, Done, 7);
    let script = script
        .with(1, (40, 50), (Acquire, Done), 7, hostile)
        .mark(None, (0, 5), hostile);
    let violation = script.found(Property::Tk2);
    let report = Report::new(&script.history, &violation)
        .subject(hostile)
        .case(hostile)
        .replay(hostile);
    let page = super::super::page::page(&report).unwrap();
    assert!(
        !page.contains("<script>bad") && !page.contains("<img"),
        "it breaks out"
    );
    assert_eq!(page.matches("</script").count(), 2);
    assert!(!page.contains('\0') && !page.contains('\u{1b}') && !page.contains('\u{2028}'));
    let text = report.to_string();
    let is_plain = |c: char| c == '\n' || !c.is_control();
    assert!(text.chars().all(is_plain), "{text:?}");
}

#[test]
fn a_page_needs_no_network() {
    let script = late_commit();
    let violation = script.found(Property::Fn1);
    let page = super::super::page::page(&Report::new(&script.history, &violation)).unwrap();
    for word in [
        "http:", "https:", "src=", "import", "@font", "url(", "fetch(",
    ] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn long_tokens_are_told_apart_by_their_ends() {
    let tokens = [184_467_440_737_095_516, 184_467_440_737_095_517];
    let script = Script::new().add(0, (0, 10), Acquire, Done, tokens[0]);
    let script = script.add(1, (40, 50), Acquire, Done, tokens[1]);
    let text = Report::new(&script.history, &script.found(Property::Ls1)).to_string();
    for end in ["095516", "095517"] {
        let label = format!("token _{end} ");
        assert!(text.lines().any(|line| line.starts_with(&label)), "{text}");
        assert!(text.contains(&format!("acquire _{end}")), "{text}");
    }
    assert!(text.contains("token 184467440737095516"), "{text}");
}
