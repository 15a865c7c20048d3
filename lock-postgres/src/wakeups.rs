//! Notifications from the server, sorted out to those who wait.
//!
//! They come on the client's own channel, sent by the statements: a release wakes the first in
//! line, a forced release tells the holder. It asks nothing of the server.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Alarm, Wakeups};

use crate::names::name_of;

/// Takes a message off the channel: `w<name>` wakes, `f<name>` tells of a forced release,
/// `s<ms>:<name>` says when to look again. What has another form is ignored.
pub(crate) fn take(wakeups: &Arc<Wakeups>, message: &str) {
    if let Some(name) = message.strip_prefix('w').and_then(name_of) {
        wakeups.hint(&name);
    } else if let Some(name) = message.strip_prefix('f').and_then(name_of) {
        wakeups.alarm(Alarm::Check(name));
    } else if let Some((ms, name)) = message.strip_prefix('s').and_then(|t| t.split_once(':'))
        && let (Ok(ms), Some(name)) = (ms.parse(), name_of(name))
    {
        wakeups.look_again(&name, Duration::from_millis(ms));
    }
}
