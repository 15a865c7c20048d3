use super::{Arguments, Wish};

fn read(words: &str) -> Wish {
    Arguments::read(words.split_whitespace().map(str::to_owned)).unwrap()
}

fn run(words: &str) -> Arguments {
    let wish = read(words);
    let Wish::Run(arguments) = wish else {
        panic!("{words}: {wish:?}");
    };
    arguments
}

#[test]
fn what_nextest_says_is_understood() {
    let listed = |wish| matches!(wish, Wish::List { ignored: false, .. });
    assert!(listed(read("--list --format terse")));
    let ignored = read("--list --format terse --ignored");
    assert!(matches!(ignored, Wish::List { ignored: true, .. }));
    let one = run("plans/calm --nocapture --exact");
    assert!(one.selects("plans/calm"));
    assert!(!one.selects("plans/calmer") && !one.selects("plans/crashes"));
}

#[test]
fn what_cargo_test_says_is_understood() {
    assert!(run("").selects("plans/calm"));
    let some = run("claims steps --skip a-list -q --test-threads=3 --color never");
    assert!(some.selects("steps/a-peek") && some.selects("claims/line"));
    assert!(!some.selects("steps/a-list") && !some.selects("plans/calm"));
    assert_eq!(some.threads, Some(3));
    let files = run("--junit a.xml --json=b.json");
    assert_eq!(
        (files.junit, files.json),
        (Some("a.xml".into()), Some("b.json".into()))
    );
    assert!(matches!(read("plans --help"), Wish::Help));
}

#[test]
fn what_is_unknown_or_lacks_its_value_is_an_error() {
    for words in [
        "--jnuit x",
        "-x",
        "--junit",
        "--test-threads 0",
        "--test-threads x",
    ] {
        let words = words.split_whitespace().map(str::to_owned);
        assert!(Arguments::read(words).is_err());
    }
}
