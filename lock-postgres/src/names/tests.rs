use proptest::prelude::*;

use super::{quoted, restored, stored};

proptest! {
    #[test]
    fn a_text_is_restored_as_it_was_and_a_prefix_stays_a_prefix(text in "[\\\\\0a0]{0,9}", more in "[\\\\\0a0]{0,9}") {
        let kept = stored(&text);
        prop_assert!(!kept.contains('\0'));
        prop_assert_eq!(restored(&kept), Some(text.clone()));
        let longer = stored(&(text + &more));
        prop_assert!(longer.starts_with(&kept));
    }
}

#[test]
fn an_identifier_cannot_end_its_quotes() {
    assert_eq!(quoted("a\"; DROP"), "\"a\"\"; DROP\"");
}
