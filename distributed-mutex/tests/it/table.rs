//! The table of what each store promises says what the backends say.

use distributed_mutex::{Capabilities, Requirement, connect};
use lock_testkit::service::{PostgresServerOptions, RedisServer};

use crate::File;

const PAGE: &str = include_str!("../../../docs/backends/README.md");

/// The table's columns after the first, in the order in which they stand.
const COLUMNS: [Requirement; 6] = [
    Requirement::Push,
    Requirement::Line,
    Requirement::ForceAlarm,
    Requirement::LossAlarm,
    Requirement::SurvivesRestart,
    Requirement::SurvivesFailover,
];

/// The row of a store: its name and a yes or a no in each column.
fn row(store: &str) -> Vec<&'static str> {
    let lines = PAGE.lines().filter(|line| line.starts_with('|'));
    let mut rows = lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect());
    let found: Option<Vec<_>> =
        rows.find(|row: &Vec<_>| row.first().is_some_and(|s| s.contains(store)));
    found.unwrap_or_else(|| unreachable!("no row for {store}"))
}

fn says(store: &str, capabilities: &Capabilities) {
    let expected = COLUMNS.map(|column| match column.is_met_by(capabilities) {
        true => "yes",
        false => "no",
    });
    let row = row(store);
    assert_eq!(row.get(1..), Some(&expected[..]), "{store}");
}

#[test]
fn the_columns_are_the_words_of_requirements() {
    let expected = COLUMNS.map(|column| format!("`{}`", column.word()));
    assert_eq!(row("store").get(1..).unwrap(), expected);
}

#[tokio::test]
async fn the_table_says_what_each_store_promises() {
    let (file, redis) = (File::new(), RedisServer::start().await.unwrap());
    let postgres = PostgresServerOptions::new()
        .durable()
        .start()
        .await
        .unwrap();
    let postgres_url = format!("{}?migrate=true", postgres.url());
    let stores = [
        ("memory.md", "memory:"),
        ("sqlite.md", &file.url("")),
        ("redis.md", redis.url()),
        ("postgres.md", &postgres_url),
    ];
    for (page, url) in stores {
        says(page, &connect(url).await.unwrap().capabilities());
    }
    // Without a row for a store that is not there.
    let rows = PAGE.lines().filter(|line| line.starts_with("| [")).count();
    assert_eq!(rows, stores.len());
}
