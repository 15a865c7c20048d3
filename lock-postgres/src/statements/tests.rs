use super::{Arg, Statements, Table, written_out};

#[test]
fn parameters_are_written_as_digits_and_words() {
    let args = [
        Arg::text("'; DROP TABLE x; --"),
        Arg::Bytes(vec![0, 0xff]),
        Arg::Int(-1),
        Arg::MaybeInts(vec![None, Some(2)]),
        Arg::Bool(true),
    ];
    assert_eq!(
        written_out("SELECT $1::text, $2, $3, $4, $5, $6", &args),
        "SELECT convert_from(decode('273b2044524f50205441424c4520783b202d2d', 'hex'), 'UTF8')::text, \
         decode('00ff', 'hex'), (-1), ARRAY[NULL,(2)], true, $6"
    );
}

#[test]
fn a_statement_names_its_table_and_leaves_nothing_to_fill_in() {
    let table = Table {
        schema: Some("my\"schema".to_owned()),
        name: "Locks".to_owned(),
        unlogged: false,
    };
    let statements = format!("{:?}", Statements::new(&table));
    assert!(
        statements.contains(r#"\"my\"\"schema\".\"Locks\""#),
        "{statements}"
    );
    for blank in [
        "{records}",
        "{heir}",
        "{told}",
        "{info}",
        "{claim_ms}",
        "{channel}",
        "{skip}",
        "{strength}",
    ] {
        assert!(!statements.contains(blank), "{blank}");
    }
}
