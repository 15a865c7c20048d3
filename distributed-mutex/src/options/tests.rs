use std::time::Duration;

use lock_core::LockOptions;

use super::{CLIENT_OPTIONS, take, take_requirements};
use crate::requirement::Requirement;
use crate::url::StoreUrl;

fn url(query: &str) -> StoreUrl {
    StoreUrl::parse(&format!("memory:?{query}")).unwrap()
}

#[test]
fn every_option_of_the_client_is_read() {
    let mut url = url(
        "ttl=9s&renew_interval=2s&drift_allowance=100ms&request_timeout=1s&patience=1m&poll_min=5ms\
         &poll_max=50ms&max_state_bytes=1000&forget_after=1h&label=me%20there&require=push\
         &handover_max=9&handover_time=50ms",
    );
    assert!(url.only(&CLIENT_OPTIONS).is_ok());
    let options = take(&mut url, LockOptions::builder()).unwrap();
    assert_eq!(options.ttl().as_duration(), Duration::from_secs(9));
    assert_eq!(options.renew_interval(), Duration::from_secs(2));
    assert_eq!(options.drift_allowance(), Duration::from_millis(100));
    assert_eq!(options.request_timeout(), Duration::from_secs(1));
    assert_eq!(options.patience(), Duration::from_secs(60));
    assert_eq!(
        options.poll(),
        (Duration::from_millis(5), Duration::from_millis(50))
    );
    assert_eq!(options.handover(), (9, Duration::from_millis(50)));
    assert_eq!(options.max_state_bytes(), 1000);
    assert_eq!(options.label().as_str(), "me there");
    assert_eq!(take_requirements(&mut url).unwrap(), [Requirement::Push]);
    assert!(url.only(&[]).is_ok());
}

#[test]
fn an_option_with_a_wrong_value_is_refused_with_its_form() {
    for (query, part) in [
        (
            "ttl=10",
            "'ttl' of the URL must be a length of time such as 500ms",
        ),
        ("ttl=0s", "ttl"),
        ("renew_interval=20s", "renew interval"),
        ("max_state_bytes=1MB", "a number of bytes"),
        ("handover_max=often", "a number of times"),
        ("handover_time=9s", "at most half the ttl"),
        ("forget_after=soon", "never, or a length of time"),
        ("poll_min=5s", "the shortest pause"),
        ("ttl=hunter2", "must be"),
    ] {
        let error = take(&mut url(query), LockOptions::builder()).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains(part) && !shown.contains("hunter2"),
            "{shown}"
        );
    }
    let error = take_requirements(&mut url("require=push,speed")).unwrap_err();
    assert!(error.to_string().contains("survives-restart"), "{error}");
    let several = take_requirements(&mut url("require=line,survives-restart")).unwrap();
    assert_eq!(several, [Requirement::Line, Requirement::SurvivesRestart]);
}
