use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use super::FORGETTABLE;

#[tokio::test]
async fn whoever_looks_for_names_to_forget_does_not_read_them_all() {
    let options = SqliteConnectOptions::new().in_memory(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(include_str!("../schema.sql"))
        .execute(&mut connection)
        .await
        .unwrap();
    let explain = format!("EXPLAIN QUERY PLAN {FORGETTABLE}");
    let rows = sqlx::query(AssertSqlSafe(explain))
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    let plan = plan.join("; ");
    assert!(plan.contains("SEARCH") && !plan.contains("SCAN"), "{plan}");
}
