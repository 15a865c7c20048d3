use super::arrows::Table;
use super::layers::{CRATES, EXCEPTIONS, Exception, LAYERS};
use super::{Source, manifests, pages, promises, text};

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

/// Modules of lock-core, with what they say.
fn core(modules: &[(&str, &str)]) -> Vec<Source> {
    modules
        .iter()
        .map(|(name, text)| source(&format!("lock-core/src/{name}.rs"), text))
        .collect()
}

#[track_caller]
fn check(modules: &[(&str, &str)], expected: &[&str]) {
    let findings = Table::new(LAYERS, &[]).check(&core(modules));
    assert_eq!(findings, expected);
}

#[test]
fn arrows_along_the_grain_pass() {
    check(
        &[
            ("lib", "mod ttl;\npub use ttl::Ttl;"),
            ("ttl", "use crate::error::Error;"),
            ("error", "//! See [`Client`](crate::client::Client)."),
            ("clock", "use crate::{ttl::Ttl, error};"),
            (
                "acquire",
                "use crate::ttl::Ttl;\nmod plan;\nuse plan::Plan;",
            ),
            ("acquire/plan", "use crate::clock::Clock;"),
            ("client", "use crate::acquire::plan::Plan;\nuse super::ttl;"),
            ("memory", "use crate::{Ttl, clock::Clock};"),
            ("ttl/tests", "use crate::client::Client;"),
        ],
        &[],
    );
}

#[test]
fn an_arrow_against_the_grain_is_found() {
    check(
        &[
            ("clock", "//! Docs.\n\nuse crate::acquire::plan::Plan;"),
            ("acquire/plan", ""),
            ("acquire", ""),
        ],
        &["lock-core/src/clock.rs:3: clock (ports) must not use acquire/plan (plans)"],
    );
}

#[test]
fn an_arrow_in_the_middle_of_code_is_found() {
    check(
        &[
            ("ttl", "fn f() {\n    crate::clock::now();\n}"),
            ("clock", ""),
        ],
        &["lock-core/src/ttl.rs:2: ttl (words) must not use clock (ports)"],
    );
}

#[test]
fn an_arrow_in_a_group_is_found() {
    let group =
        "use crate::{\n    error::{Error, ErrorKind as Kind},\n    queue::{self, Turn},\n};";
    check(
        &[("options", group), ("error", ""), ("queue", "")],
        &["lock-core/src/options.rs:1: options (plans) must not use queue (drivers)"],
    );
}

#[test]
fn an_arrow_to_a_parent_is_found() {
    check(
        &[
            (
                "renewal/plan",
                "use super::Driver;\nuse super::super::clock;",
            ),
            ("renewal", ""),
            ("clock", ""),
        ],
        &["lock-core/src/renewal/plan.rs:1: renewal/plan (plans) must not use renewal (drivers)"],
    );
}

#[test]
fn an_arrow_by_a_re_export_is_found() {
    check(
        &[
            ("lib", "pub use client::{\n    LockClient,\n};"),
            ("queue", "use crate::LockClient;"),
            ("client", ""),
        ],
        &["lock-core/src/queue.rs:1: queue (drivers) must not use client (handles)"],
    );
}

#[test]
fn what_is_for_backends_uses_no_plan_and_nothing_below_uses_it() {
    check(
        &[
            ("memory", "use crate::options::LockOptions;"),
            ("options", "use crate::memory::MemoryBackend;"),
        ],
        &[
            "lock-core/src/memory.rs:1: memory (for backends) must not use options (plans)",
            "lock-core/src/options.rs:1: options (plans) must not use memory (for backends)",
        ],
    );
}

#[test]
fn a_module_without_a_layer_is_found() {
    check(
        &[("novelty", "")],
        &[
            "lock-core/src/novelty.rs:1: module novelty is in no layer: \
           add it to xtask/src/tidy/layers.rs",
        ],
    );
}

#[test]
fn an_exception_is_allowed_and_must_be_needed() {
    static ALLOWED: &[Exception] = &[Exception {
        from: "owner",
        to: "entropy",
        reason: "a test",
    }];
    let table = Table::new(LAYERS, ALLOWED);
    let uses = core(&[("owner", "use crate::entropy::Entropy;"), ("entropy", "")]);
    assert_eq!(table.check(&uses), Vec::<String>::new());
    let idle = core(&[("owner", ""), ("entropy", "")]);
    let finding = "the exception owner -> entropy is no longer needed";
    assert!(table.check(&idle)[0].ends_with(finding));
}

#[test]
fn the_table_is_sound() {
    let modules: Vec<_> = LAYERS.iter().flat_map(|layer| layer.modules).collect();
    for (index, module) in modules.iter().enumerate() {
        assert!(
            !modules[..index].contains(module),
            "{module} is listed twice"
        );
    }
    for exception in EXCEPTIONS {
        assert!(modules.contains(&&exception.from), "{}", exception.from);
        assert!(modules.contains(&&exception.to), "{}", exception.to);
        assert!(!exception.reason.is_empty());
    }
    for rule in CRATES {
        assert!(!rule.dependencies.contains(&"xtask"), "{}", rule.name);
    }
}

#[test]
fn a_crate_that_knows_too_much_is_found() {
    let manifest = "[dependencies]\nlock-core.workspace = true\n\
                    lock-redis = { workspace = true } # why\nserde = \"1\"\n\
                    [dev-dependencies]\nlock-testkit.workspace = true\n\
                    [target.'cfg(unix)'.dependencies]\nlock-testkit.workspace = true\n";
    let files = [
        source("lock-core/Cargo.toml", "[dependencies]\nserde = \"1\"\n"),
        source("lock-postgres/Cargo.toml", manifest),
        source(
            "lock-redis/Cargo.toml",
            "[dependencies.xtask]\npath = \"..\"\n",
        ),
        source("lock-testkit/Cargo.toml", ""),
        source("newcomer/Cargo.toml", ""),
        source("xtask/Cargo.toml", ""),
    ];
    let expected = [
        "lock-postgres/Cargo.toml:3: lock-postgres must not depend on lock-redis",
        "lock-postgres/Cargo.toml:8: lock-postgres must not depend on lock-testkit",
        "lock-redis/Cargo.toml:1: lock-redis must not depend on xtask",
        "newcomer/Cargo.toml:1: crate newcomer has no rule: add it to xtask/src/tidy/layers.rs",
    ];
    assert_eq!(manifests::check(&files), expected);
}

#[test]
fn long_unfinished_and_local_text_is_found() {
    let bang = "to".to_owned() + "do!()";
    let skip = "#[ig".to_owned() + "nore = \"slow\"]";
    let path = "see /wo".to_owned() + "rk/notes";
    let long = "\n".repeat(601);
    let files = [
        source("a.rs", &format!("fn f() {{ {bang} }}\n// {bang}\n{skip}\n")),
        source("b.md", &format!("{bang}\n{path}\n")),
        source("c.rs", &long),
        source("c.md", &long),
    ];
    let findings = text::check(&files);
    let starts: Vec<_> = findings
        .iter()
        .map(|finding| finding.split(": ").next().unwrap())
        .collect();
    assert_eq!(starts, ["a.rs:1", "a.rs:3", "b.md:2", "c.rs:601"]);
}

#[test]
fn a_promise_without_its_test_is_found() {
    let document = "# Guarantees\n\
                    - test: `a/tests/it/x.rs::it_holds`, `a/tests/it/x.rs::it_breaks`\n\
                    - **Test:** soon\n\
                    Prose that names `a/tests/it/y.rs::other` too, and `code`.\n\
                    - test: `steps/a-case`, `steps/no-case`, `steps/b.rs`\n";
    let files = [
        source("docs/guarantees.md", document),
        source(
            "a/tests/it/x.rs",
            "async fn it_holds() {}\nfn it_breaks_not() {}",
        ),
        source(
            "lock-testkit/src/conformance/steps.rs",
            "case!(\"steps/a-case\", a_case)",
        ),
    ];
    let expected = [
        "docs/guarantees.md:2: a/tests/it/x.rs has no test it_breaks",
        "docs/guarantees.md:3: names no test: write `crate/path/file.rs::name`, or a case's id",
        "docs/guarantees.md:4: there is no file a/tests/it/y.rs",
        "docs/guarantees.md:5: the conformance suite has no case steps/no-case",
    ];
    assert_eq!(promises::check(&files), expected);
    assert_eq!(promises::check(&[]), Vec::<String>::new());
}

#[test]
fn a_backends_page_has_the_common_headings_and_shows_each_script() {
    let head = "## When to choose it\n## How it works\n";
    let tail = "## Options\n## What survives\n## What does not\n## Limits\n";
    let path = "docs/backends/redis.md";
    let script = source("lock-redis/src/scripts/acquire.lua", "");
    let page = |middle: &str| source(path, &format!("{head}{middle}\n{tail}"));
    let link = "[acquire](../../lock-redis/src/scripts/acquire.lua)";
    let check = |page| pages::check(&[page, script_of(&script)]);
    assert!(check(page(link)).is_empty());
    assert_eq!(
        check(page("")),
        [format!("{path}:1: it does not show {}", script.path)]
    );
    let gone = check(page(&format!("{link} [x](../../lock-redis/src/gone.lua)")));
    assert_eq!(
        gone,
        [format!(
            "{path}:3: there is no file lock-redis/src/gone.lua"
        )]
    );
    assert_eq!(check(page(&format!("{link}\n## More"))).len(), 1);
}

fn script_of(script: &Source) -> Source {
    source(&script.path, &script.text)
}
