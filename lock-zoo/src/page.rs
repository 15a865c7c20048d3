//! The table as a page of the documents.

use std::fmt::Write;

use lock_testkit::spec::Property;
use lock_zoo::table::Row;

/// The page. It holds nothing that differs from machine to machine.
pub(crate) fn page(rows: &[Row]) -> String {
    let mut page = String::from(HEAD);
    for row in rows {
        let found = row.found.map_or("nothing", Property::id);
        // Writing to a string does not fail.
        let _written = writeln!(
            page,
            "| `{}` | {} | {} | {found} | {} | {} |",
            row.member.id,
            row.member.what,
            row.member.where_seen.unwrap_or(""),
            row.cases,
            row.operations
        );
    }
    page.push_str(RULES);
    for property in Property::ALL {
        let of = |row: &&Row| row.member.is_alone && row.member.property == property;
        let alone = rows.iter().filter(of).filter(|r| r.found_without.is_none());
        let alone: Vec<String> = alone.map(|row| format!("`{}`", row.member.id)).collect();
        let _written = writeln!(page, "| {property} | {} |", alone.join(", "));
    }
    page
}

const HEAD: &str = "\
# The zoo

Broken locks, each wrong in exactly one way, and the property under which the test kit reports each.
`cargo xtask zoo` runs them and adds how long each took; `cargo xtask zoo <id>` shows one report.
This page is what `cargo xtask zoo --markdown` writes.

*Cases* is how many random plans were run until one showed the defect, *operations* how many of them its report shows.
The same plans find nothing where nothing is broken.

| member | what goes wrong | seen at | found | cases | operations |
| --- | --- | --- | --- | --- | --- |
";

const RULES: &str = "
## What each rule is needed for

Each of these members lives if the one rule beside it is switched off, so no rule is dead.

| rule | lives without it |
| --- | --- |
";
