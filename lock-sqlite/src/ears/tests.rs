use std::time::Duration;

use lock_core::LockName;

use super::{Garbled, LONGEST, Message, digest};

fn name(text: &str) -> LockName {
    LockName::new(text).unwrap()
}

#[test]
fn messages_are_read_back_however_they_are_cut() {
    let longest = "ä".repeat(LockName::MAX_BYTES / 2);
    let messages = [
        Message::Wake(name("x")),
        Message::Forced(name("\0\n")),
        Message::LookAgain(name(&longest), Duration::from_millis(500)),
    ];
    let mut sent: Vec<u8> = Vec::new();
    for message in &messages {
        assert!(message.encoded().len() <= LONGEST);
        sent.extend(message.encoded());
    }
    let (mut arrived, mut read) = (Vec::new(), Vec::new());
    for byte in sent {
        arrived.push(byte);
        while let Some(message) = Message::decoded(&mut arrived) {
            read.push(message.unwrap());
        }
    }
    assert_eq!(read, messages);
    assert!(arrived.is_empty());
}

#[test]
fn what_is_no_message_is_told_as_such() {
    let garbled = [
        vec![0, 0],
        vec![0, 1, b'?'],
        vec![0, 1, b'w'],
        vec![0, 3, b's', 0, 0],
        vec![0, 2, b'w', 0xff],
        vec![0xff, 0xff],
    ];
    for mut bytes in garbled {
        assert_eq!(
            Message::decoded(&mut bytes),
            Some(Err(Garbled)),
            "{bytes:?}"
        );
    }
    assert_eq!(Message::decoded(&mut vec![0]), None);
    assert_eq!(Message::decoded(&mut vec![0, 2, b'w']), None);
}

#[test]
fn the_digest_tells_names_and_namespaces_apart() {
    let digests = [("", "ab"), ("a", "b"), ("", "a\0b"), ("ab", "ab")]
        .map(|(namespace, lock)| digest(namespace, &name(lock)));
    for (at, one) in digests.iter().enumerate() {
        assert!(
            digests.iter().skip(at + 1).all(|other| other != one),
            "{at}"
        );
    }
    // Other processes may run another build.
    assert_eq!(digest("", &name("x")), 0x0832_5007_b4eb_10c5);
}
