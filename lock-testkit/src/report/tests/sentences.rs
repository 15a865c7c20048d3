//! A sentence for each property.

use super::{BOUND, Report, Script};
use crate::history::{Outcome, Step, Value};
use crate::spec::{Property, Violation};

use Outcome::{Done, Refused, Unknown};
use Property::{
    Du1, Er1, Fn1, Fn2, Fn3, Fn4, In1, Ls1, Ls2, Ls3, Lv1, Lv2, Lv3, Lv4, Lv5, Me1, Me2, Ow1, Ow2,
    Ow3, Tk1, Tk2,
};
use Step::{Acquire, Commit, CommitRelease, ForceRelease, Peek, Release, Renew};

fn granted() -> Script {
    Script::new().add(0, (0, 10), Acquire, Done, 7)
}

fn granted_nothing() -> Script {
    Script::new().with(0, (0, 10), (Acquire, Done), 7, "")
}

fn released() -> Script {
    granted().add(0, (20, 30), Release, Done, 7)
}

#[test]
fn a_token_granted_twice() {
    let script = released().add(1, (40, 50), Acquire, Done, 7);
    script.says(
        Tk2,
        "TK-2: token 7 was granted to client 0 (0.0 to 1.0 ms) and once more to client 1 (4.0 \
         to 5.0 ms).",
    );
}

#[test]
fn tokens_that_decrease() {
    let script = released().add(1, (40, 50), Acquire, Done, 6);
    script.says(
        Tk1,
        "TK-1: token 6 was granted to client 1 (4.0 to 5.0 ms) after token 7 had been granted \
         to client 0 (returned at 1.0 ms).",
    );
    Script::new().add(1, (40, 50), Acquire, Done, 0).says(
        Tk1,
        "TK-1: client 1 was granted the lock without a token (0.0 to 1.0 ms).",
    );
}

#[test]
fn a_lease_that_was_too_short() {
    let script = granted().add(1, (40, 50), Acquire, Done, 8);
    script.says(
        Ls1,
        "LS-1: the lease of token 7, granted to client 0 (0.0 to 1.0 ms) for 50 ms, was not \
         over when token 8 was granted to client 1 (4.0 to 5.0 ms).",
    );
    granted().add(0, (20, 30), Renew, Refused, 7).says(
        Ls1,
        "LS-1: the lease of token 7, granted to client 0 (0.0 to 1.0 ms) for 50 ms, was not \
         over when client 0 was refused a renewal under it (2.0 to 3.0 ms).",
    );
}

#[test]
fn a_lease_handed_out_late() {
    let script = Script::new().add(1, (0, 800), Acquire, Done, 7);
    script.tells(
        Ls2,
        &[0],
        "LS-2: token 7 was handed to client 1 at 80.0 ms, but its lease of 50 ms, counted \
         from the request at 0.0 ms, was past its deadline by then.",
    );
}

#[test]
fn a_renewal_that_did_not_prolong() {
    let script = granted().add(0, (400, 410), Renew, Done, 7);
    script.add(1, (700, 710), Acquire, Done, 8).says(
        Ls3,
        "LS-3: the renewal of client 0 under token 7 (40.0 to 41.0 ms) was to keep token 7 \
         for 50 ms more, but token 8 was granted to client 1 (70.0 to 71.0 ms).",
    );
}

#[test]
fn leases_that_overlap() {
    let script = granted().add(1, (750, 755), Acquire, Done, 8);
    let script = script.add(0, (740, 780), Release, Done, 7);
    script.add(2, (790, 800), Acquire, Done, 9).says(
        Me1,
        "ME-1: token 9 was granted to client 2 (79.0 to 80.0 ms) while the lease of token 8, \
         granted to client 1 (75.0 to 75.5 ms), was in force; what can have ended it is the \
         release of client 0 under token 7 (74.0 to 78.0 ms), under another token.",
    );
}

#[test]
fn beliefs_that_overlap() {
    let script = granted().add(1, (400, 410), Acquire, Done, 8);
    script.tells(
        Me2,
        &[0, 1],
        "ME-2: two clients believed at once that they hold the lock: the grant of token 7 to \
         client 0 (0.0 to 1.0 ms) and the grant of token 8 to client 1 (40.0 to 41.0 ms).",
    );
    let script = granted().add(1, (400, 410), Acquire, Done, 8);
    let script = script.belief(0, 7, (10, 480)).belief(1, 8, (410, 900));
    script.tells(
        Me2,
        &[0, 1],
        "ME-2: two clients believed at once that they hold the lock: the grant of token 7 to \
         client 0 (0.0 to 1.0 ms) and the grant of token 8 to client 1 (40.0 to 41.0 ms); \
         client 0 believed it from 1.0 ms to 48.0 ms, and client 1 believed it from 41.0 ms \
         to 90.0 ms.",
    );
}

#[test]
fn a_commit_outside_its_lease() {
    let script = granted().add(1, (620, 804), Acquire, Done, 8);
    script.add(0, (812, 819), Commit, Done, 7).says(
        Fn1,
        "FN-1: the commit of client 0 under token 7 (81.2 to 81.9 ms) took effect after token \
         8 had been granted to client 1 (returned at 80.4 ms).",
    );
    released().add(0, (812, 819), Commit, Done, 7).says(
        Fn1,
        "FN-1: the commit of client 0 under token 7 (81.2 to 81.9 ms) took effect after \
         client 0 had released token 7 (returned at 3.0 ms).",
    );
    granted().add(0, (20, 30), Commit, Done, 9).says(
        Fn1,
        "FN-1: the commit of client 0 under token 9 (2.0 to 3.0 ms) took effect though token \
         9 was never granted.",
    );
    let script = granted_nothing().with(0, (20, 30), (CommitRelease, Done), 7, "a");
    let script = script.with(1, (40, 50), (Acquire, Done), 8, "b");
    script.with(1, (60, 70), (Commit, Done), 8, "b").says(
        Fn1,
        "FN-1: the grant of token 8 to client 1 (4.0 to 5.0 ms) read \"b\", which no earlier lease \
             committed: only the commit of client 1 under token 8 (6.0 to 7.0 ms) did.",
    );
}

#[test]
fn a_value_that_was_lost() {
    let script = granted_nothing().with(0, (20, 30), (CommitRelease, Done), 7, "a");
    script.with(1, (40, 50), (Acquire, Done), 8, "").says(
        Fn2,
        "FN-2: the grant of token 8 to client 1 (4.0 to 5.0 ms) read nothing instead of \
         \"a\", which the commit with release of client 0 under token 7 (2.0 to 3.0 ms) had \
         written.",
    );
    let script = granted_nothing().with(1, (20, 30), (Peek, Done), 7, "a");
    script.with(0, (40, 50), (Commit, Done), 7, "a").says(
        Fn2,
        "FN-2: the peek of client 1 (2.0 to 3.0 ms) read \"a\" before the commit of client 0 \
         under token 7 (4.0 to 5.0 ms) can have written it.",
    );
    let script = granted_nothing().with(0, (20, 30), (Commit, Done), 7, "a");
    let script = script.with(0, (40, 50), (Commit, Done), 7, "b");
    script.tells(
        Fn2,
        &[1, 2],
        "FN-2: the commit of client 0 under token 7 (2.0 to 3.0 ms) returned before the \
         commit of client 0 under token 7 (4.0 to 5.0 ms), although the values say that it \
         came after it.",
    );
}

#[test]
fn a_value_that_nobody_committed() {
    let script = granted_nothing().with(0, (20, 30), (Commit, Done), 7, "a");
    script.with(1, (40, 50), (Peek, Done), 0, "b").says(
        Fn3,
        "FN-3: the peek of client 1 (4.0 to 5.0 ms) read \"b\", which nobody had committed; \
         what it had to read is \"a\", of the commit of client 0 under token 7 (2.0 to 3.0 \
         ms).",
    );
    let script = granted_nothing().with(0, (20, 30), (Commit, Done), 7, "a");
    script.with(1, (40, 50), (Peek, Done), 5, "a").says(
        Fn3,
        "FN-3: the peek of client 1 (4.0 to 5.0 ms) read \"a\" as written under token 5, but \
         it was written by the commit of client 0 under token 7 (2.0 to 3.0 ms).",
    );
}

#[test]
fn a_commit_in_two_steps() {
    let script = granted_nothing().with(0, (20, 900), (Commit, Done), 7, "a");
    script.with(1, (700, 710), (Acquire, Done), 8, "").says(
        Fn4,
        "FN-4: the commit of client 0 under token 7 (2.0 to 90.0 ms) was done, but the grant \
         of token 8 to client 1 (70.0 to 71.0 ms) read nothing: the lease was judged at one \
         moment and the value written at another.",
    );
    let script = granted_nothing().with(0, (700, 710), (Commit, Refused), 7, "a");
    script.with(1, (800, 810), (Acquire, Done), 8, "a").says(
        Fn4,
        "FN-4: the grant of token 8 to client 1 (80.0 to 81.0 ms) read \"a\", which the \
         refused commit of client 0 under token 7 (70.0 to 71.0 ms) wrote all the same.",
    );
}

#[test]
fn a_step_for_a_token_that_is_not_the_present_one() {
    let script = released().add(0, (40, 50), Release, Done, 7);
    script.says(
        Ow1,
        "OW-1: the lease of token 7 was ended twice: by the release of client 0 under token 7 \
         (2.0 to 3.0 ms) and by the release of client 0 under token 7 (4.0 to 5.0 ms).",
    );
    let script = granted().add(1, (700, 710), Acquire, Done, 8);
    script.add(0, (720, 730), Renew, Done, 7).says(
        Ow1,
        "OW-1: the renewal of client 0 under token 7 (72.0 to 73.0 ms) was done after token 8 \
         had been granted to client 1 (returned at 71.0 ms).",
    );
    granted().add(0, (20, 30), Renew, Done, 9).says(
        Ow1,
        "OW-1: the renewal of client 0 under token 9 (2.0 to 3.0 ms) was done though token 9 \
         was never granted.",
    );
    let script = granted().add(1, (750, 755), Acquire, Done, 8);
    let script = script.add(0, (740, 780), Release, Done, 7);
    script.add(1, (790, 800), Renew, Refused, 8).says(
        Ow1,
        "OW-1: the release of client 0 under token 7 (74.0 to 78.0 ms), under another token, \
         is what can have ended the lease of token 8: client 1 was refused a renewal under it \
         (79.0 to 80.0 ms).",
    );
}

#[test]
fn a_holder_that_is_told_otherwise() {
    let script = granted().add(0, (20, 30), Renew, Refused, 7);
    script.add(0, (40, 50), Renew, Done, 7).says(
        Ow2,
        "OW-2: the refused renewal of client 0 under token 7 (2.0 to 3.0 ms) says that token \
         7 is over, but the renewal of client 0 under token 7 (4.0 to 5.0 ms) was done under \
         it.",
    );
    granted().add(1, (20, 30), ForceRelease, Refused, 0).says(
        Ow2,
        "OW-2: the refused forced release of client 1 (2.0 to 3.0 ms) found nobody though \
         token 7 had been granted to client 0 (returned at 1.0 ms).",
    );
}

#[test]
fn tasks_that_shared_a_lease() {
    let script = granted().push((0, 3), (20, 30), (Release, Done), 7, Value::UNSEEN);
    script.tells(
        Ow3,
        &[0, 1],
        "OW-3: task 0 and task 3 of client 0 shared a lease: the grant of token 7 to client 0 \
         (0.0 to 1.0 ms) and the release of task 3 of client 0 under token 7 (2.0 to 3.0 ms).",
    );
}

#[test]
fn a_refusal_while_the_lock_is_free() {
    let script = released().add(1, (40, 50), Acquire, Refused, 0);
    script.add(2, (60, 70), Acquire, Done, 8).says(
        Er1,
        "ER-1: client 1 was refused the lock (4.0 to 5.0 ms) though nobody held it: client 0 \
         had released token 7 (returned at 3.0 ms), and the next grant, of token 8 to client \
         2, was asked for only at 6.0 ms.",
    );
    let script = Script::new().add(1, (40, 50), Acquire, Refused, 0);
    script.says(
        Er1,
        "ER-1: client 1 was refused the lock (0.0 to 1.0 ms) though nobody held it.",
    );
}

#[test]
fn nobody_who_waits_is_granted() {
    let script = released().add(1, (15, 0), Acquire, Unknown, 0);
    script.tells(
        Lv1,
        &[2, 1],
        "LV-1: client 1, which asked for the lock at 1.5 ms, was never granted, though client \
         0 had released token 7 (returned at 3.0 ms) and nobody holds it since.",
    );
    let script = granted().add(1, (15, 9_000), Acquire, Refused, 0);
    script.tells(
        Lv1,
        &[1, 0],
        "LV-1: client 1, which asked for the lock at 1.5 ms, was still refused at 900.0 ms, \
         though nothing says that anybody holds it after the lease of token 7, granted to \
         client 0 (0.0 to 1.0 ms) for 50 ms.",
    );
}

#[test]
fn a_release_that_wakes_nobody() {
    let script = released().add(1, (15, 9_000), Acquire, Done, 8);
    script.tells(
        Lv2,
        &[1, 2],
        "LV-2: the release of client 0 under token 7 (2.0 to 3.0 ms) did not wake client 1, \
         which waited since 1.5 ms and was granted only at 900.0 ms.",
    );
}

#[test]
fn an_acquire_that_was_abandoned_and_keeps_others_out() {
    let script = Script::new().add(0, (0, 20), Acquire, Unknown, 0);
    script.add(1, (30, 9_000), Acquire, Refused, 0).tells(
        Lv3,
        &[0, 1],
        "LV-3: the acquire that client 0 abandoned (asked at 0.0 ms, for 50 ms) kept out \
         client 1, which asked at 3.0 ms and was still refused at 900.0 ms.",
    );
}

#[test]
fn one_that_is_granted_out_of_turn() {
    let script = released().add(1, (15, 90), Acquire, Done, 9);
    script.add(2, (16, 50), Acquire, Done, 8).tells(
        Lv4,
        &[3, 2],
        "LV-4: token 8 was granted to client 2 (1.6 to 5.0 ms) before client 1, which had \
         waited since 1.5 ms and was granted only at 9.0 ms.",
    );
}

#[test]
fn one_that_is_overtaken_by_tasks_of_one_other() {
    let script = released().add(1, (15, 90), Acquire, Done, 10);
    let script = script.add(2, (16, 50), Acquire, Done, 8);
    script.add(2, (17, 60), Acquire, Done, 9).tells(
        Lv5,
        &[3, 4, 2],
        "LV-5: client 2 was granted again and again, with tokens 8 to 9 (5.0 ms to 6.0 ms), while \
         client 1, which waited since 1.5 ms, was granted only at 9.0 ms.",
    );
}

#[test]
fn locks_that_disturb_each_other() {
    let script = granted().on("other").add(1, (20, 30), Acquire, Refused, 0);
    script.tells(
        In1,
        &[0, 1],
        "IN-1: the grant of token 7 to client 0 (0.0 to 1.0 ms) on the lock \"stock\" and the \
         refused acquire of client 1 (2.0 to 3.0 ms) on the lock \"other\" disturbed each \
         other.",
    );
}

#[test]
fn what_was_acknowledged_and_did_not_survive() {
    let script = granted().add(1, (60, 70), Acquire, Done, 3);
    script.tells(
        Du1,
        &[0, 1],
        "DU-1: the grant of token 7 to client 0 (0.0 to 1.0 ms) was acknowledged, but did not \
         survive: the grant of token 3 to client 1 (6.0 to 7.0 ms) knows nothing of it.",
    );
}

#[test]
fn culprits_of_other_roles_are_named_one_by_one() {
    let script = granted().add(1, (60, 0), Peek, Unknown, 0);
    script.tells(
        Fn1,
        &[0, 1],
        "FN-1: a commit took effect outside its own lease, as the grant of token 7 to client \
         0 (0.0 to 1.0 ms) and the peek of client 1, of unknown outcome (from 6.0 ms, never \
         answered) show.",
    );
    all_say_who(&[]);
    all_say_who(&[0]);
}

/// Whoever the culprits are, each property says its id, and its rule or who they are.
fn all_say_who(culprits: &[usize]) {
    for property in Property::ALL {
        let script = granted();
        let violation = Violation::new(property, BOUND, culprits);
        let sentence = Report::new(&script.history, &violation).sentence();
        assert!(sentence.starts_with(property.id()), "{sentence}");
        let is_named = culprits.is_empty() || sentence.contains("client 0");
        assert!(is_named && sentence.len() > 20, "{sentence}");
    }
}

#[test]
fn a_history_of_several_locks_has_them_named() {
    let script = Script::new()
        .on("a\u{1b}[31m\"b")
        .add(0, (0, 10), Acquire, Done, 7);
    let script = script.add(1, (40, 50), Acquire, Done, 7).on("c");
    script.add(1, (40, 50), Acquire, Done, 7).says(
        Tk2,
        "TK-2 on \"a\\u{1b}[31m\\\"b\": token 7 was granted to client 0 (0.0 to 1.0 ms) and \
         once more to client 1 (4.0 to 5.0 ms).",
    );
}
