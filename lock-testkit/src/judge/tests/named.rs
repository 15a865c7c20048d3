//! One small history for each property, which nothing but its rule finds anything wrong with.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an example that is missing is a panic of the test"
)]

use lock_core::Capabilities;

use super::super::{Rules, judge, violations};
use crate::checker::liveness::{Fifo, Limits};
use crate::history::{Belief, History, Mark, MarkKind, NEVER, Operation, Outcome, Step, Value};
use crate::spec::{Bound, Property, Verdict};
use crate::subject::Traits;

use Outcome::{Done, Refused, Unknown};
use Step::{Acquire, Commit, CommitRelease, Peek, Release, Renew};

const TTL: u64 = 100;

#[derive(Default)]
struct Script {
    history: History,
    key: &'static str,
    who: (u32, u16),
    value: Option<&'static str>,
}

impl Script {
    /// What follows is of this key.
    fn on(mut self, key: &'static str) -> Self {
        self.key = key;
        self
    }

    /// What follows is by this client and task.
    fn by(mut self, client: u32, task: u16) -> Self {
        self.who = (client, task);
        self
    }

    /// The next operation reads or writes this; nothing, if it is empty.
    fn value(mut self, value: &'static str) -> Self {
        self.value = Some(value);
        self
    }

    fn add(mut self, times: (u64, u64), step: Step, outcome: Outcome, token: u64) -> Self {
        let value = match self.value.take() {
            None => Value::UNSEEN,
            Some("") => Value::NONE,
            Some(text) => self.history.value(text),
        };
        let key = self.history.key(self.key);
        self.history.push(Operation {
            invoked: times.0,
            returned: times.1,
            token,
            ttl_ns: TTL,
            key,
            client: self.who.0,
            task: self.who.1,
            value,
            step,
            outcome,
        });
        self
    }

    fn believe(mut self, token: u64, from: u64, until: u64) -> Self {
        let key = self.history.key(self.key);
        let (client, task) = self.who;
        self.history.believe(Belief {
            key,
            client,
            task,
            token,
            from,
            until,
        });
        self
    }

    fn mark(mut self, kind: MarkKind, from: u64, until: u64) -> Self {
        let text = "restart".to_owned();
        self.history.mark(Mark {
            from,
            until,
            client: None,
            kind,
            text,
        });
        self
    }

    fn healed(mut self) -> Self {
        self.history.heal_at(0);
        self
    }
}

fn rules() -> Rules {
    Rules::new(Bound::timed(0, 0))
}

/// Attempts of 10, sleeps of 50: a lock stays free for 70 at most.
fn limits() -> Limits {
    let mut limits = Limits::new(10, 50);
    limits.granularity_ns = 0;
    limits
}

fn granted() -> Script {
    Script::default().add((0, 10), Acquire, Done, 1)
}

/// A client is granted, its release comes late and ends the lease of the next, and a third is
/// granted within that.
fn late_release(second: (u32, u16)) -> Script {
    let script = granted().by(second.0, second.1);
    let script = script.add((150, 155), Acquire, Done, 2).by(0, 0);
    let script = script.add((140, 180), Release, Done, 1).by(2, 0);
    script.add((190, 200), Acquire, Done, 3)
}

fn granted_twice() -> Script {
    let script = granted().add((20, 30), Release, Done, 1).by(1, 0);
    script.add((50, 60), Acquire, Done, 1)
}

fn example(property: Property) -> (Script, Rules) {
    let script = match property {
        Property::Du1 => {
            let script = granted_twice().mark(MarkKind::Restart, 35, 40);
            return (script, rules().durable());
        }
        Property::In1 => {
            let script = Script::default().on("a").add((0, 10), Acquire, Done, 1);
            let script = script.value("[1]").add((20, 30), CommitRelease, Done, 1);
            let script = script.on("b").by(1, 0).value("[1]");
            script.add((40, 50), Acquire, Done, 2)
        }
        Property::Lv1 => return (waits_for_the_dead(), rules().limits(limits())),
        Property::Lv2 => {
            let script = granted().add((30, 40), Release, Done, 1).by(1, 0);
            let script = script.add((15, 95), Acquire, Done, 2).healed();
            return (script, rules().limits(limits().push(20)));
        }
        Property::Lv3 => {
            let script = granted().add((20, 30), Release, Done, 1).by(1, 0);
            let script = script.add((40, 60), Acquire, Unknown, 0).by(2, 0);
            let script = script.add((70, 400), Acquire, Refused, 0).healed();
            return (script, rules().limits(limits()));
        }
        Property::Lv4 => {
            let script = granted().add((95, 100), Release, Done, 1).by(1, 0);
            let script = script.add((20, 230), Acquire, Done, 3).by(2, 0);
            let script = script.add((40, 110), Acquire, Done, 2);
            let script = script.add((200, 205), Release, Done, 2).healed();
            return (script, rules().limits(limits().fifo(Fifo::Everybody)));
        }
        Property::Lv5 => {
            let script = granted().add((30, 40), Release, Done, 1).by(1, 0);
            let script = script.add((0, 150), Acquire, Done, 4).by(0, 1);
            let script = script.add((5, 41), Acquire, Done, 2);
            let script = script.add((60, 61), Release, Done, 2).by(0, 2);
            let script = script.add((6, 62), Acquire, Done, 3);
            let script = script.add((130, 131), Release, Done, 3).healed();
            return (script, rules().limits(limits().overtaken(1)));
        }
        Property::Ls2 => granted().believe(1, 10, 9),
        Property::Me2 => {
            let script = granted().believe(1, 10, 120).by(1, 0);
            script
                .add((105, 110), Acquire, Done, 2)
                .believe(2, 110, 180)
        }
        Property::Me1 => late_release((1, 0)),
        Property::Ow3 => late_release((0, 1)),
        Property::Tk2 => granted_twice(),
        other => by_answers(other),
    };
    (script, rules())
}

fn waits_for_the_dead() -> Script {
    let script = granted().by(1, 0);
    script.add((20, 900), Acquire, Refused, 0).healed()
}

/// What the answers of one key show.
fn by_answers(property: Property) -> Script {
    let written = || {
        let script = Script::default().value("").add((0, 10), Acquire, Done, 1);
        script
            .value("[1]")
            .add((20, 30), CommitRelease, Done, 1)
            .by(1, 0)
    };
    let expired = || {
        granted()
            .by(1, 0)
            .add((150, 160), Acquire, Done, 2)
            .by(0, 0)
    };
    match property {
        Property::Er1 => {
            let script = granted().add((20, 30), Release, Done, 1).by(1, 0);
            let script = script.add((40, 50), Acquire, Refused, 0);
            script.add((60, 70), Acquire, Done, 2)
        }
        Property::Fn1 => expired().add((170, 180), Commit, Done, 1),
        Property::Fn2 => written().value("").add((40, 50), Acquire, Done, 2),
        Property::Fn3 => written().value("[9]").add((40, 50), Peek, Done, 0),
        Property::Fn4 => {
            let script = Script::default().value("").add((0, 10), Acquire, Done, 1);
            let script = script.value("[1]").add((20, 300), Commit, Done, 1).by(1, 0);
            script.value("").add((150, 160), Acquire, Done, 2)
        }
        Property::Ls1 => granted().by(1, 0).add((40, 50), Acquire, Done, 2),
        Property::Ls3 => {
            let script = granted().add((80, 90), Renew, Done, 1).by(1, 0);
            script.add((150, 160), Acquire, Done, 2)
        }
        Property::Ow1 => expired().add((170, 180), Renew, Done, 1),
        Property::Ow2 => {
            let script = granted().add((20, 30), Renew, Refused, 1);
            script.add((40, 50), Renew, Done, 1)
        }
        Property::Tk1 => {
            let script = Script::default().add((0, 10), Acquire, Done, 7);
            let script = script.add((20, 30), Release, Done, 7).by(1, 0);
            script.add((40, 50), Acquire, Done, 6)
        }
        other => panic!("{other} shows elsewhere"),
    }
}

fn found(script: &Script, rules: &Rules) -> Vec<Property> {
    let found = violations(&script.history, rules);
    found.iter().map(|violation| violation.property).collect()
}

#[test]
fn each_property_is_named_by_its_own_rule_and_by_no_other() {
    for property in Property::ALL {
        let (script, rules) = example(property);
        assert_eq!(found(&script, &rules), [property], "{property}");
        let Verdict::Invalid(violation) = judge(&script.history, &rules) else {
            panic!("{property} is not judged");
        };
        assert_eq!(violation.property, property);
        assert!(!violation.culprits.is_empty(), "{property} has no culprits");
        let without = judge(&script.history, &rules.without(property));
        assert_eq!(
            without,
            Verdict::Valid,
            "{property} is found by another rule"
        );
    }
}

#[test]
fn every_other_rule_may_be_off() {
    for property in Property::ALL {
        let (script, mut rules) = example(property);
        for other in Property::ALL.iter().filter(|other| **other != property) {
            rules = rules.without(*other);
        }
        assert_eq!(found(&script, &rules), [property], "{property}");
    }
}

#[test]
fn a_restart_excuses_nothing_where_nothing_was_declared_or_lost() {
    let script = granted_twice().mark(MarkKind::Restart, 35, 40);
    assert_eq!(found(&script, &rules()), [Property::Tk2]);
    let script = granted_twice().mark(MarkKind::Fault, 35, 40);
    assert_eq!(found(&script, &rules().durable()), [Property::Tk2]);
    let script = granted_twice().mark(MarkKind::Restart, 61, 70);
    assert_eq!(found(&script, &rules().durable()), [Property::Tk2]);
}

#[test]
fn a_key_refused_for_another_is_not_independent() {
    let script = || {
        Script::default()
            .on("a")
            .add((0, 10), Acquire, Done, 1)
            .by(1, 0)
    };
    let refused = script().on("b").add((20, 30), Acquire, Refused, 0);
    assert_eq!(found(&refused, &rules()), [Property::In1]);
    // The other key's lease may have been over by the end of it.
    let refused = script().on("b").add((20, 101), Acquire, Refused, 0);
    assert_eq!(found(&refused, &rules()), [Property::Er1]);
    let released = script().by(0, 0).add((15, 25), Release, Done, 1).by(1, 0);
    let refused = released.on("b").add((20, 30), Acquire, Refused, 0);
    assert_eq!(found(&refused, &rules()), [Property::Er1]);
}

#[test]
fn a_store_with_a_line_may_refuse_while_it_keeps_the_lock_for_another() {
    let script = |waits: (u64, u64), outcome| {
        let script = granted().add((20, 30), Release, Done, 1).by(1, 0);
        let script = script.add(waits, Acquire, outcome, 0).by(2, 0);
        script
            .add((40, 50), Acquire, Refused, 0)
            .by(3, 0)
            .add((60, 70), Acquire, Done, 2)
    };
    let waited = script((15, 45), Refused);
    assert_eq!(found(&waited, &rules()), [Property::Er1]);
    assert_eq!(found(&waited, &rules().line()), []);
    assert_eq!(found(&script((5, 18), Unknown), &rules().line()), []);
    // Nobody waits any more.
    let gone = script((15, 25), Refused);
    assert_eq!(found(&gone, &rules().line()), [Property::Er1]);
}

#[test]
fn a_token_of_another_key_is_not_independent() {
    let script = Script::default().on("a").add((0, 10), Acquire, Done, 1);
    let script = script.on("b").add((0, 10), Acquire, Done, 2);
    let script = script.add((20, 30), Commit, Done, 1);
    assert_eq!(found(&script, &rules()), [Property::In1]);
}

#[test]
fn two_tasks_that_believe_or_are_granted_at_once_were_taken_for_one() {
    let script = granted().believe(1, 10, 120).by(0, 1);
    let script = script.add((105, 110), Acquire, Done, 2);
    assert_eq!(
        found(&script.believe(2, 110, 180), &rules()),
        [Property::Ow3]
    );
    let script = granted().by(0, 1).add((15, 20), Acquire, Done, 1);
    assert_eq!(found(&script, &rules()), [Property::Ow3]);
    // The release of another client is to blame, whoever was granted.
    let script = granted().by(1, 1).add((150, 155), Acquire, Done, 2);
    let script = script.by(0, 0).add((140, 180), Release, Done, 1).by(1, 0);
    let script = script.add((190, 200), Acquire, Done, 3);
    assert_eq!(found(&script, &rules()), [Property::Me1]);
}

#[test]
fn a_lock_without_tokens_is_judged_where_its_holds_are_certain() {
    let tokenless = Rules::tokenless();
    let hold = |script: Script, from: u64| {
        let script = script.add((from, from + 5), Acquire, Done, 0);
        script.add((from + 20, from + 25), Release, Done, 0)
    };
    let script = hold(hold(Script::default(), 0).by(1, 0), 10);
    assert_eq!(found(&script, &tokenless), [Property::Me1]);
    assert_eq!(found(&script, &tokenless.without(Property::Me1)), []);
    let script = hold(hold(Script::default(), 0).by(0, 1), 10);
    assert_eq!(found(&script, &tokenless), [Property::Ow3]);
    // The first may have expired, or been released.
    let script = Script::default().add((0, 5), Acquire, Done, 0).by(1, 0);
    assert_eq!(found(&hold(script, 10), &tokenless), []);
    let script = hold(Script::default(), 0).add((30, NEVER), Release, Unknown, 0);
    assert_eq!(found(&hold(script.by(1, 0), 10), &tokenless), []);
    let script = waits_for_the_dead();
    assert_eq!(found(&script, &tokenless.limits(limits())), [Property::Lv1]);
}

#[test]
fn what_tells_most_comes_first() {
    let script = granted_twice().believe(1, 60, 59).healed().by(2, 0);
    let script = script.add((70, 900), Acquire, Refused, 0);
    let rules = rules().limits(limits());
    let all = [Property::Tk2, Property::Ls2, Property::Lv1];
    assert_eq!(found(&script, &rules), all);
    let Verdict::Invalid(violation) = judge(&script.history, &rules) else {
        panic!("a token was granted twice");
    };
    assert_eq!(violation.property, Property::Tk2);
}

/// A lease that a jump of the store's clock ended was rightly believed in.
#[test]
fn beliefs_are_not_held_against_a_clock_that_jumps() {
    let mut history = History::new();
    let key = history.key("stock");
    for client in [1, 2] {
        let (token, task, from, until) = (u64::from(client), 0, 10, 50);
        history.believe(Belief {
            key,
            client,
            task,
            token,
            from,
            until,
        });
    }
    let traits = Traits::of(Capabilities::none());
    let trusted = judge(&history, &Rules::of(&traits, true));
    assert!(matches!(trusted, Verdict::Invalid(v) if v.property == Property::Me2));
    let jumping = judge(&history, &Rules::of(&traits, false));
    assert_eq!(jumping, Verdict::Valid);
}
