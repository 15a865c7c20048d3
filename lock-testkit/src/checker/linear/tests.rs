#![expect(clippy::arithmetic_side_effects, reason = "numbers are small")]

use std::collections::HashSet;

use proptest::prelude::*;

use super::super::cases::{Dice, config};
use super::jit::Jit;
use super::plan::Plan;
use super::wgl::Wgl;
use super::*;

/// Every order, one operation after another.
fn brute<M: Model>(model: &M, history: &[Entry<M::Op>]) -> bool {
    let mut seen = HashSet::new();
    let mut stack = vec![(0_u64, model.initial())];
    while let Some((done, state)) = stack.pop() {
        let is_open = |at: usize| done & (1 << at) == 0;
        let missing = |at: usize| is_open(at) && !history[at].optional;
        if !(0..history.len()).any(missing) {
            return true;
        }
        if !seen.insert((done, state.clone())) {
            continue;
        }
        for at in (0..history.len()).filter(|at| is_open(*at)) {
            let entry = &history[at];
            // Nothing that must have come earlier is still to come.
            if (0..history.len()).any(|o| missing(o) && history[o].returned < entry.invoked) {
                continue;
            }
            // Nothing may come that was over before this was invoked: give it up for good.
            let mut next = done | 1 << at;
            for (other, late) in history.iter().enumerate() {
                if is_open(other) && late.returned < entry.invoked {
                    next |= 1 << other;
                }
            }
            if let Some(state) = model.step(&state, entry) {
                stack.push((next, state));
            }
        }
    }
    false
}

/// One string, as plainly as can be.
struct Strings;

impl Model for Strings {
    type State = String;
    type Op = KvOp;

    fn initial(&self) -> String {
        String::new()
    }

    fn step(&self, state: &String, entry: &Entry<KvOp>) -> Option<String> {
        match &entry.op {
            KvOp::Append(_, value) => Some(format!("{state}{value}")),
            KvOp::Get(_, value) => (**value == **state).then(|| state.clone()),
            KvOp::Put(_, value) => Some(value.to_string()),
        }
    }
}

fn both<M: Model>(model: &M, history: &[Entry<M::Op>]) -> [bool; 3] {
    let members: Vec<usize> = {
        let mut members: Vec<usize> = (0..history.len()).collect();
        members.sort_by_key(|at| history[*at].invoked);
        members
    };
    let decided = |found: Option<Found>| matches!(found, Some(Found::Legal));
    let plan = Plan::new(model, history, &members).expect("few are open");
    let mut jit = Jit::new(model, history, plan);
    let mut wgl = Wgl::new(model, history, &members);
    // Small allowances, so that both are halted often.
    let jit = loop {
        if let (_, found @ Some(_)) = jit.run(3) {
            break decided(found);
        }
    };
    let wgl = loop {
        if let (_, found @ Some(_)) = wgl.run(3) {
            break decided(found);
        }
    };
    let raced = check(model, history, u64::MAX).decided().expect("no bound");
    [jit, wgl, raced]
}

fn times(dice: &mut Dice) -> (u64, u64, bool) {
    let invoked = dice.below(14);
    let returned = invoked + dice.below(6);
    match dice.below(6) {
        0 => (invoked, NEVER, true),
        1 => (invoked, returned, true),
        _ => (invoked, returned, false),
    }
}

fn register(seed: u64) -> Vec<Entry<RegisterOp>> {
    let mut dice = Dice(seed);
    let count = 1 + dice.below(8);
    let entry = |_| {
        let (invoked, returned, optional) = times(&mut dice);
        let value = |dice: &mut Dice| i64::try_from(dice.below(3)).unwrap();
        let op = match dice.below(5) {
            0 | 1 => RegisterOp::Read(
                Some(value(&mut dice)).filter(|v| *v != 2 || !seed.is_multiple_of(3)),
            ),
            2 => RegisterOp::Write(value(&mut dice)),
            _ => RegisterOp::Cas {
                from: value(&mut dice),
                to: value(&mut dice),
                done: !dice.one_in(3),
            },
        };
        Entry {
            op,
            invoked,
            returned,
            optional,
        }
    };
    (0..count).map(entry).collect()
}

fn kv(seed: u64) -> Vec<Entry<KvOp>> {
    let mut dice = Dice(seed);
    let count = 1 + dice.below(8);
    let mut written = String::new();
    let entry = |_| {
        let (invoked, returned, optional) = times(&mut dice);
        let key = dice.below(2);
        let letter = ["a", "b", "ab"][usize::try_from(dice.below(3)).unwrap()];
        let op = match dice.below(5) {
            0 | 1 => KvOp::Get(key, written.as_str().into()),
            2 => KvOp::Put(key, letter.into()),
            _ => KvOp::Append(key, letter.into()),
        };
        match &op {
            KvOp::Put(0, text) => written = text.to_string(),
            KvOp::Append(0, text) => written.push_str(text),
            KvOp::Append(..) | KvOp::Get(..) | KvOp::Put(..) => {}
        }
        Entry {
            op,
            invoked,
            returned,
            optional,
        }
    };
    (0..count).map(entry).collect()
}

fn lock(seed: u64) -> Vec<Entry<LockOp>> {
    let mut dice = Dice(seed);
    let count = 1 + dice.below(8);
    let entry = |_| {
        let (invoked, returned, optional) = times(&mut dice);
        let client = u32::try_from(dice.below(2)).unwrap();
        let op = match dice.below(6) {
            0 | 1 => LockOp::Acquired(client),
            2 => LockOp::Refused,
            3 => LockOp::NotHeld(client),
            _ => LockOp::Released(client),
        };
        Entry {
            op,
            invoked,
            returned,
            optional,
        }
    };
    (0..count).map(entry).collect()
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn both_searches_agree_with_every_order(seed in any::<u64>()) {
        let history = register(seed);
        prop_assert_eq!(both(&Register, &history), [brute(&Register, &history); 3], "{:?}", history);
        let history = lock(seed);
        prop_assert_eq!(both(&PlainLock, &history), [brute(&PlainLock, &history); 3], "{:?}", history);
        let history = kv(seed);
        let map = Kv::of(&history);
        let mut expected = true;
        for key in [0, 1] {
            let part: Vec<_> = history.iter().filter(|e| map.part(&e.op) == key).cloned().collect();
            let is_right = brute(&Strings, &part);
            prop_assert_eq!(both(&map, &part), [is_right; 3], "{:?}", part);
            expected &= is_right;
        }
        prop_assert_eq!(check(&map, &history, u64::MAX).decided(), Some(expected));
    }

    #[test]
    fn a_core_has_no_order_by_itself(seed in any::<u64>()) {
        let history = register(seed);
        let Some(core) = minimise(&Register, &history, u64::MAX) else {
            prop_assert!(brute(&Register, &history));
            return Ok(());
        };
        let whole = core.culprits.iter().map(|at| history[*at].clone());
        let any = core.any_effect.iter().map(|at| {
            Entry::unknown(history[*at].op.clone(), history[*at].invoked)
        });
        let kept: Vec<_> = whole.chain(any).collect();
        prop_assert!(!brute(&Register, &kept), "{:?} of {:?}", core, history);
    }
}

#[test]
fn a_budget_that_is_spent_leaves_it_undecided() {
    let history: Vec<_> = (0..30)
        .map(|value| Entry::new(RegisterOp::Write(value), 0, 100))
        .chain([Entry::new(RegisterOp::Read(Some(99)), 0, 100)])
        .collect();
    let found = check(&Register, &history, 1_000);
    assert!(matches!(found, Linearizability::Undecided { steps } if steps < 5_000));
}

#[test]
fn etcd_logs_are_read_with_tabs_or_spaces() {
    let log = "INFO  jepsen.util - 4\t:invoke\t:read\tnil\n\
               INFO  jepsen.util - 3   :invoke   :cas   [2 4]\n\
               INFO  jepsen.util - 4\t:ok\t:read\tnil\n\
               INFO  jepsen.util - 3   :fail   :cas   [2 4]\n\
               INFO  jepsen.util - 1\t:invoke\t:write\t3\n\
               INFO  jepsen.util - 4\t:invoke\t:read\tnil\n\
               INFO  jepsen.util - 4\t:fail\t:read\t:timed-out\n\
               INFO  jepsen.util - 1\t:info\t:write\t:timed-out\n";
    let cas = RegisterOp::Cas {
        from: 2,
        to: 4,
        done: false,
    };
    let expected = [
        Entry::new(RegisterOp::Read(None), 0, 2),
        Entry::new(cas, 1, 3),
        Entry::unknown(RegisterOp::Write(3), 4),
    ];
    assert_eq!(read_etcd_log(log).unwrap(), expected);
    assert_eq!(read_etcd_log("").unwrap(), []);
    assert_eq!(
        read_etcd_log("\nINFO  jepsen.util - 4\t:ok\t:read\t1")
            .unwrap_err()
            .line(),
        2
    );
}

#[test]
fn kv_logs_are_read_with_the_value_of_the_answer() {
    let log = "{:process 0, :type :invoke, :f :append, :key \"4\", :value \"x 0 1 y\"}\n\
               {:process 1, :type :invoke, :f :get, :key \"4\", :value nil}\n\
               {:process 0, :type :ok, :f :append, :key \"4\", :value \"x 0 1 y\"}\n\
               {:process 1, :type :ok, :f :get, :key \"4\", :value \"x 0 1 y\"}\n";
    let expected = [
        Entry::new(KvOp::Append(0, "x 0 1 y".into()), 0, 2),
        Entry::new(KvOp::Get(0, "x 0 1 y".into()), 1, 3),
    ];
    assert_eq!(read_kv_log(log).unwrap(), expected);
    assert_eq!(read_kv_log("{}").unwrap_err().line(), 1);
}
