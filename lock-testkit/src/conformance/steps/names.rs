//! Names have nothing to do with each other, whatever bytes they hold.

use lock_core::{LockName, Release};

use crate::conformance::case::{Case, HOLDS, Ran, case, ensure, same};
use crate::conformance::stage::Stage;

pub(super) const CASES: &[Case] = &[
    case!(
        "steps/names-are-independent-whatever-bytes-they-hold",
        independent
    ),
    case!("steps/names-of-the-greatest-length-are-told-apart", longest),
    case!("steps/a-name-of-one-byte-is-a-name", shortest),
];

/// Names that something is likely to take for each other, or to choke on.
const ODD: [&str; 30] = [
    "x",
    "X",
    "x ",
    " x",
    "x\0",
    "x\n",
    "x\r\n",
    "x\t",
    "{x}",
    "{x",
    "x}",
    "{x}:lock",
    "x:lock",
    "%7Bx}",
    "%",
    "%25",
    "x%",
    "x*",
    "x?",
    "[x]",
    "\\",
    "\\x",
    "x/",
    "x//y",
    "'x'",
    "\"x\"",
    "x; --",
    "\u{e9}",
    "e\u{301}",
    "\u{1F512}",
];

async fn independent(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let mut held = Vec::new();
    for name in ODD {
        let request = a.asks(name)?;
        let grant = a.granted(&request).await?;
        a.committed(&request, &grant, 1, name).await?;
        held.push((name, request, grant));
    }
    for (name, request, _) in &held {
        b.reads(&request.name, name).await?;
        b.refused(&b.asks(name)?).await?;
        let info = b.backend.inspect(&request.name).await?;
        same("the name that was inspected", &info.name, &request.name)?;
        let owner = info.holder.and_then(|holder| holder.owner);
        same("the holder of the name", &owner, &Some(request.owner))?;
    }
    // The end of one is the end of none of the others.
    for (at, (_, request, _)) in held.iter().enumerate() {
        a.released(request).await?;
        for (_, other, grant) in held.iter().skip(at.saturating_add(1)) {
            a.renewed(other, grant).await?;
        }
        if at >= 4 {
            break;
        }
    }
    HOLDS
}

async fn longest(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let room = LockName::MAX_BYTES
        .saturating_sub(stage.prefix().len())
        .saturating_sub(1);
    let tails = [("a", "a"), ("a", "b"), ("{", "}"), ("%", "%")];
    for (fill, end) in tails {
        let name = format!("{}{end}", fill.repeat(room));
        let request = hand.asks(&name)?;
        same(
            "the length of the name",
            &request.name.as_str().len(),
            &LockName::MAX_BYTES,
        )?;
        let grant = hand.granted(&request).await?;
        hand.committed(&request, &grant, 1, &name).await?;
        hand.reads(&request.name, &name).await?;
        let found = hand.backend.list(request.name.as_str(), 9).await?;
        let found: Vec<_> = found.into_iter().map(|info| info.name).collect();
        ensure(found == [request.name.clone()], || {
            format!("a list of a name of 512 bytes found {} names", found.len())
        })?;
    }
    HOLDS
}

async fn shortest(stage: Stage) -> Ran {
    // Names outside of this case's own: somebody else may hold them, and nothing is changed for long.
    let hand = stage.hand().await?;
    for byte in ["%", "{", "0"] {
        let mut request = hand.asks("x")?;
        request.name = LockName::new(byte)?;
        hand.granted_in_time(&request).await?;
        let released = hand.release(&request).await?;
        same("the answer of a release", &released, &Release::Released)?;
    }
    HOLDS
}
