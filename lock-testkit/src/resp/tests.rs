use bytes::Bytes;
use proptest::prelude::*;

use super::{Framer, Reply, Request, Side};

/// All messages of a stream that arrives in these pieces.
fn frames(side: Side, pieces: &[&[u8]]) -> Vec<Bytes> {
    let mut framer = Framer::new(side);
    let mut messages = Vec::new();
    for piece in pieces {
        framer.push(piece);
        while let Some(message) = framer.next_message().expect("the stream is well formed") {
            messages.push(message);
        }
    }
    assert!(framer.rest().is_empty(), "a message was left over");
    messages
}

fn blob() -> impl Strategy<Value = Vec<u8>> {
    // Line ends within a blob must not be taken for the end of a message.
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        Just(b"\r\n$3\r\n*1\r\n".to_vec())
    ]
}

fn sized(kind: char, bytes: &[u8]) -> Vec<u8> {
    let mut message = format!("{kind}{}\r\n", bytes.len()).into_bytes();
    message.extend_from_slice(bytes);
    message.extend_from_slice(b"\r\n");
    message
}

fn aggregate(kind: char, count: usize, values: Vec<Vec<u8>>) -> Vec<u8> {
    let mut message = format!("{kind}{count}\r\n").into_bytes();
    message.extend(values.into_iter().flatten());
    message
}

/// Any one message of a server, of RESP2 or RESP3.
fn reply() -> impl Strategy<Value = Vec<u8>> {
    let line = "[ -~]{0,20}";
    let leaf = prop_oneof![
        line.prop_map(|t| format!("+{t}\r\n").into_bytes()),
        line.prop_map(|t| format!("-ERR {t}\r\n").into_bytes()),
        any::<i64>().prop_map(|n| format!(":{n}\r\n").into_bytes()),
        any::<i32>().prop_map(|n| format!(",{n}.5\r\n").into_bytes()),
        "[0-9]{1,40}".prop_map(|n| format!("({n}\r\n").into_bytes()),
        any::<bool>().prop_map(|b| format!("#{}\r\n", if b { 't' } else { 'f' }).into_bytes()),
        Just(b"_\r\n".to_vec()),
        Just(b"$-1\r\n".to_vec()),
        Just(b"*-1\r\n".to_vec()),
        blob().prop_map(|b| sized('$', &b)),
        blob().prop_map(|b| sized('!', &b)),
        blob().prop_map(|b| sized('=', &[b"txt:", b.as_slice()].concat())),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let values = || prop::collection::vec(inner.clone(), 0..6);
        let pairs = || prop::collection::vec((inner.clone(), inner.clone()), 0..3);
        prop_oneof![
            values().prop_map(|v| aggregate('*', v.len(), v)),
            values().prop_map(|v| aggregate('~', v.len(), v)),
            values().prop_map(|v| aggregate('>', v.len(), v)),
            pairs().prop_map(|p| aggregate('%', p.len(), flat(p))),
            (pairs(), inner.clone()).prop_map(|(p, value)| {
                let mut message = aggregate('|', p.len(), flat(p));
                message.extend(value);
                message
            }),
        ]
    })
}

fn flat(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<Vec<u8>> {
    pairs.into_iter().flat_map(|(k, v)| [k, v]).collect()
}

/// The bytes in pieces, cut at these places (modulo the length).
fn cut<'a>(bytes: &'a [u8], at: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = at
        .iter()
        .map(|i| i.checked_rem(bytes.len().saturating_add(1)).unwrap())
        .collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|w| &bytes[w[0]..w[1]]).collect()
}

proptest! {
    #[test]
    fn replies_frame_alike_wherever_the_stream_is_cut(
        messages in prop::collection::vec(reply(), 0..8),
        at in prop::collection::vec(any::<usize>(), 0..24),
    ) {
        let stream = messages.concat();
        let framed = frames(Side::Server, &cut(&stream, &at));
        prop_assert_eq!(framed, messages);
    }

    #[test]
    fn requests_frame_alike_wherever_the_stream_is_cut(
        commands in prop::collection::vec(prop::collection::vec(blob(), 1..6), 0..8),
        at in prop::collection::vec(any::<usize>(), 0..24),
    ) {
        let messages: Vec<_> = commands.iter().map(|words| Request::encode(words)).collect();
        let stream = messages.concat();
        let framed = frames(Side::Client, &cut(&stream, &at));
        prop_assert_eq!(&framed, &messages);
        for (message, words) in framed.iter().zip(&commands) {
            let request = Request::read(message).unwrap().unwrap();
            prop_assert_eq!(request.arguments(), &words[1..]);
        }
    }

    #[test]
    fn every_framed_reply_can_be_read(message in reply()) {
        prop_assert!(Reply::read(&message).is_ok());
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for side in [Side::Client, Side::Server] {
            let mut framer = Framer::new(side);
            framer.push(&bytes);
            while let Ok(Some(message)) = framer.next_message() {
                // Nothing is asked of the outcome: only that there is one.
                drop((Request::read(&message), Reply::read(&message)));
            }
        }
    }
}

#[test]
fn a_typed_line_is_a_request() {
    let messages = frames(Side::Client, &[b"set  k v\r\nPI", b"NG\n", b"\r\n"]);
    let requests: Vec<_> = messages
        .iter()
        .map(|m| Request::read(m).unwrap().map(|r| r.command().to_owned()))
        .collect();
    assert_eq!(requests, [Some("SET".into()), Some("PING".into()), None]);
}

#[test]
fn the_first_key_of_a_script_follows_the_count() {
    let key = |words: &[&str]| {
        let message = Request::encode(words).into();
        let request = Request::read(&message).unwrap().unwrap();
        request.first_key().cloned()
    };
    assert_eq!(key(&["GET", "k"]), Some("k".into()));
    assert_eq!(key(&["EVALSHA", "f00", "2", "a", "b"]), Some("a".into()));
    assert_eq!(key(&["EVALSHA", "f00", "0", "a"]), None);
    assert_eq!(key(&["PING"]), None);
}

#[test]
fn what_is_no_protocol_is_refused() {
    for stream in ["hello\r\n", "$x\r\n", "*99999999999999999999\r\n", "\r\n"] {
        let mut framer = Framer::new(Side::Server);
        framer.push(stream.as_bytes());
        assert!(framer.next_message().is_err(), "{stream:?} was accepted");
    }
}

#[test]
fn replies_read_as_values() {
    let reply = Reply::read(b"%1\r\n$1\r\na\r\n*3\r\n:-4\r\n_\r\n#t\r\n").unwrap();
    let inner = Reply::Array(vec![Reply::Integer(-4), Reply::Nil, Reply::Integer(1)]);
    assert_eq!(reply, Reply::Array(vec![Reply::Bulk(b"a".to_vec()), inner]));
    assert_eq!(
        Reply::read(b"=7\r\ntxt:abc\r\n").unwrap().text(),
        Some("abc".into())
    );
    assert_eq!(Reply::read(b"$2\r\n42\r\n").unwrap().integer(), Some(42));
}
