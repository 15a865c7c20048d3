use super::{info_field, parse_command_calls};

const INFO: &str = "# Commandstats\r\ncmdstat_ping:calls=2,usec=3,usec_per_call=1.50\r\n\
                    cmdstat_config|get:calls=1,usec=30,usec_per_call=30.00\r\nrole:master\r\n";

#[test]
fn command_calls_are_read_from_info() {
    let calls = parse_command_calls(INFO);
    let expected = [("CONFIG|GET".to_owned(), 1), ("PING".to_owned(), 2)];
    assert_eq!(calls.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_field_of_info_is_found_by_its_whole_name() {
    assert_eq!(info_field(INFO, "role").as_deref(), Some("master"));
    assert_eq!(info_field(INFO, "rol"), None);
}
