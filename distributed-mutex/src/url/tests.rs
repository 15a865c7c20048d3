use super::StoreUrl;

#[test]
fn a_url_is_taken_apart() {
    let mut url = StoreUrl::parse("redis://u:p@h:1/2?ttl=10s&namespace=a%2Fb%26c&label=").unwrap();
    assert_eq!(
        (url.scheme(), url.address()),
        ("redis", "redis://u:p@h:1/2")
    );
    assert_eq!(url.option("namespace"), Some("a/b&c"));
    assert_eq!(url.take("ttl").as_deref(), Some("10s"));
    assert_eq!((url.take("ttl"), url.option("label")), (None, Some("")));
    assert!(url.only(&["namespace", "label"]).is_ok());
    let error = url.only(&["namespace", "ttl"]).unwrap_err().to_string();
    assert_eq!(
        error,
        "a redis: URL has no option 'label'; it knows namespace, ttl"
    );
    let plain = StoreUrl::parse("memory:").unwrap();
    assert_eq!((plain.scheme(), plain.address()), ("memory", "memory:"));
}

#[test]
fn what_is_no_url_of_a_store_is_refused() {
    for url in [
        "",
        "locks.db",
        ":",
        "://x",
        "1a:x",
        "RE:x",
        "a b:x",
        "memory:?",
        "memory:?ttl",
        "memory:?=1",
        "memory:?TTL=1s",
        "memory:?ttl=1s&",
        "memory:?ttl=1s&ttl=1s",
        "memory:?label=%",
        "memory:?label=%4",
        "memory:?label=%+4",
        "memory:?label=%ff",
        "memory:#x",
        "memory:?label=a#x",
    ] {
        assert!(StoreUrl::parse(url).is_err(), "{url}");
    }
}

#[test]
fn no_message_shows_what_may_be_part_of_a_password() {
    for url in [
        "redis://:hunter2@h/?ttl=1s&ttl=2s",
        "redis://:hunter2@h/?wrong",
        "redis://:hunter2@h/#hunter2",
        // A password with a bare question mark or number sign.
        "redis://:my?hunter2@h/",
        "redis://:my?hunter=hunter2@h/?ttl=1s",
        "redis://:my#hunter2@h/",
        "hunter2://h",
        "hunter2",
    ] {
        let shown = match StoreUrl::parse(url) {
            Ok(parsed) => format!("{parsed:?}").replace("scheme: \"hunter2\"", ""),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains("hunter"), "{url}: {shown}");
    }
    let url = StoreUrl::parse("redis://:hunter2@h/?label=hunter2").unwrap();
    assert_eq!(
        format!("{url:?}"),
        "StoreUrl { scheme: \"redis\", options: [\"label\"], .. }"
    );
}
