use lock_core::ErrorKind;

use super::{STORES, is_off, of};
use crate::url::is_scheme;

#[test]
fn a_scheme_whose_feature_is_off_says_which_to_turn_on() {
    for store in STORES {
        for scheme in store.schemes {
            assert!(is_scheme(scheme));
            let error = is_off(store, scheme);
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            let part = format!("'{scheme}:' takes the feature {} of", store.feature);
            assert!(error.to_string().contains(&part), "{error}");
            match of(scheme) {
                Ok(found) => assert!(store.is_on && found.feature == store.feature),
                Err(refused) => {
                    assert!(!store.is_on);
                    assert_eq!(refused.to_string(), error.to_string());
                }
            }
        }
    }
}

#[test]
fn an_unknown_scheme_names_those_that_are_known() {
    let error = of("etcd").map(|store| store.feature).unwrap_err();
    for part in ["'etcd:'", "sqlite", "redis-cluster", "a Connector"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}
