use lock_core::{Durability, Error, ErrorKind};

use super::ServerInfo;

#[track_caller]
fn check(lines: &str, allowed: Option<&str>, expect: Option<&str>) {
    let info = ServerInfo::parse(&lines.replace(' ', "\r\n"));
    match (info.check("redis://h:1/0", allowed, false), expect) {
        (Ok(()), None) => {}
        (Err(failure), Some(words)) => {
            let error = Error::from(failure);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(words), "{error}");
        }
        (result, _) => panic!("{lines}: {result:?}, expected {expect:?}"),
    }
}

#[test]
fn a_server_that_is_too_old_is_refused() {
    check("redis_version:6.0.16 role:master", None, Some("6.0.16"));
    check("redis_version:5.0.7", None, Some("6.2 or later"));
    check("", None, Some("unknown version"));
    check("redis_version:6.2.0 role:master", None, None);
    check("redis_version:7.0.15 role:master", None, None);
    check("redis_version:10.0.1 role:master", None, None);
    check(
        "redis_version:7.2.4 valkey_version:8.0.1 role:master",
        None,
        None,
    );
}

#[test]
fn a_replica_is_refused() {
    check(
        "redis_version:7.0.15 role:slave",
        None,
        Some("connect to the primary"),
    );
}

#[test]
fn a_server_that_evicts_is_refused_unless_allowed_by_name() {
    let evicts = "redis_version:7.0.15 maxmemory:1000 maxmemory_policy:volatile-lru";
    check(evicts, None, Some("volatile-lru"));
    check(evicts, Some("allkeys-lru"), Some("volatile-lru"));
    check(evicts, Some("volatile-lru"), None);
    check(
        "redis_version:7.0.15 maxmemory:0 maxmemory_policy:allkeys-lru",
        None,
        None,
    );
    check(
        "redis_version:7.0.15 maxmemory:9 maxmemory_policy:noeviction",
        None,
        None,
    );
}

#[test]
fn only_an_append_only_file_synced_always_survives_a_crash() {
    let info = |aof: &str| ServerInfo::parse(&format!("redis_version:7.0.15\r\naof_enabled:{aof}"));
    assert_eq!(info("1").durability(Some("always")), Durability::Restart);
    assert_eq!(info("1").durability(Some("everysec")), Durability::None);
    assert_eq!(info("1").durability(None), Durability::None);
    assert_eq!(info("0").durability(Some("always")), Durability::None);
}
