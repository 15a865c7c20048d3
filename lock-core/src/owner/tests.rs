use super::*;
use crate::entropy::SystemEntropy;

#[test]
fn two_draws_differ() {
    assert_ne!(OwnerId::draw(&SystemEntropy), OwnerId::draw(&SystemEntropy));
}

#[test]
fn the_text_form_is_read_back() {
    let owner = OwnerId::from_bits(0xab);
    assert_eq!(owner.to_string(), "000000000000000000000000000000ab");
    assert_eq!(owner.to_string().parse::<OwnerId>().unwrap(), owner);
}

#[test]
fn what_is_no_owner_id_is_refused() {
    for text in ["", "locked", "+00000000000000000000000000000ab", "0ab"] {
        assert_eq!(
            text.parse::<OwnerId>().unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
}
