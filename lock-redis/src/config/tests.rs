use std::time::Duration;

use lock_core::ErrorKind;

use super::RedisOptions;

#[track_caller]
fn refused(url: &str) -> String {
    let error = RedisOptions::new(url).expect_err("must be refused");
    assert!(matches!(
        error.kind(),
        ErrorKind::Invalid | ErrorKind::Unsupported
    ));
    error.to_string()
}

#[test]
fn an_unknown_parameter_is_refused_by_name() {
    assert!(refused("redis://h/?namespace=x").contains("'namespace'"));
    assert!(refused("redis://h/?protocol=resp2").contains("'protocol'"));
}

#[test]
fn what_is_no_redis_url_is_refused() {
    refused("http://h/");
    refused("redis://");
    refused("redis://h/#insecure");
    refused("redis://h/notanumber");
    refused("h:6379");
}

#[test]
fn no_message_and_no_debug_shows_the_password() {
    let options = RedisOptions::new("redis://me:s3cret@h:1/2").unwrap();
    assert_eq!(options.address(), "redis://h:1/2");
    assert!(!format!("{options:?}").contains("s3cret"));
    assert!(!refused("redis://me:s3cret@h/x").contains("s3cret"));
    assert!(!refused("rediss://me:s3cret@h/?x=s3cret#s3cret").contains("s3cret"));
}

#[cfg(feature = "cluster")]
#[test]
fn a_cluster_has_a_scheme_of_its_own_and_one_database() {
    assert!(RedisOptions::new("redis-cluster://h:7000").unwrap().cluster);
    assert!(refused("redis-cluster://h/1").contains("database 0"));
}

#[test]
fn options_out_of_bounds_are_refused_with_the_bound() {
    let options = || RedisOptions::new("redis://h").unwrap();
    assert!(options().check().is_ok());
    let zero = options().claim_time(Duration::ZERO).check().unwrap_err();
    assert!(zero.to_string().contains("10 ms"));
    assert!(options().request_timeout(Duration::MAX).check().is_err());
    assert!(options().namespace("a{").check().is_err());
    assert!(
        options()
            .min_replicas(1, Duration::from_secs(2))
            .check()
            .is_err()
    );
    assert!(options().min_replicas(1, Duration::ZERO).check().is_err());
    assert!(
        options()
            .min_replicas(1, Duration::from_millis(100))
            .check()
            .is_ok()
    );
}
