//! Sentences of leases and what clients believe of them: LS, ME.

use super::Culprits;
use crate::history::{Operation, Outcome, Step};
use crate::report::lease::{is_end, is_grant};
use crate::report::words::{noun, who};

impl Culprits<'_> {
    /// What shows that a lease was over: a later grant, or a refusal under its own token.
    fn shows_over(&self, lease: &Operation) -> Option<&Operation> {
        let is_same = |of: &Operation| of.key == lease.key && !std::ptr::eq(of, lease);
        let displaced =
            |of: &Operation| is_same(of) && of.token > lease.token && of.outcome == Outcome::Done;
        let told = |of: &Operation| {
            is_same(of) && of.token == lease.token && of.outcome == Outcome::Refused
        };
        self.find(told).or_else(|| self.find(displaced))
    }

    /// "token 2 was granted to client 1 (40.0 to 50.0 ms)".
    fn came(&self, of: &Operation) -> String {
        let span = self.words.span(of);
        let (who, token) = (who(of), of.token);
        match (of.step, of.outcome) {
            (Step::Acquire, Outcome::Done) => {
                format!("token {token} was granted to {who} ({span})")
            }
            (step, Outcome::Refused) => {
                format!("{who} was refused a {} under it ({span})", noun(step))
            }
            (step, _) => format!(
                "a {} under token {token} was done for {who} ({span})",
                noun(step)
            ),
        }
    }

    pub(super) fn too_short(&self) -> Option<String> {
        let words = self.words;
        let lease = self.find(|of| is_grant(of) && self.shows_over(of).is_some())?;
        let over = self.shows_over(lease)?;
        Some(format!(
            "the lease of token {}, granted to {} ({}) for {}, was not over when {}",
            lease.token,
            who(lease),
            words.span(lease),
            words.times.length(lease.ttl_ns),
            self.came(over)
        ))
    }

    pub(super) fn not_prolonged(&self) -> Option<String> {
        let words = self.words;
        let renewal = self.find(|of| (of.step, of.outcome) == (Step::Renew, Outcome::Done))?;
        let over = self.shows_over(renewal)?;
        Some(format!(
            "{} was to keep token {} for {} more, but {}",
            words.full(renewal),
            renewal.token,
            words.times.length(renewal.ttl_ns),
            self.came(over)
        ))
    }

    pub(super) fn leases_overlap(&self) -> Option<String> {
        let words = self.words;
        let lease = self.find(|of| {
            let holds = is_grant(of) || (of.step, of.outcome) == (Step::Renew, Outcome::Done);
            holds && self.shows_over(of).is_some()
        })?;
        let over = self.shows_over(lease)?;
        let mut text = format!(
            "{} while the lease of token {}, {} {} ({}), was in force",
            self.came(over),
            lease.token,
            if is_grant(lease) {
                "granted to"
            } else {
                "renewed by"
            },
            who(lease),
            words.span(lease)
        );
        if let Some(suspect) = self.find(|of| is_end(of) && of.token != lease.token) {
            text.push_str(&format!(
                "; what can have ended it is {}, under another token",
                words.full(suspect)
            ));
        }
        Some(text)
    }

    pub(super) fn beliefs_overlap(&self) -> Option<String> {
        let words = self.words;
        let one = self.find(is_grant)?;
        let other = self.find(|of| is_grant(of) && !std::ptr::eq(of, one))?;
        let mut text = format!(
            "two clients believed at once that they hold the lock: {} and {}",
            words.full(one),
            words.full(other)
        );
        let is_by_third = |of: &Operation| {
            is_end(of)
                && ![(one.client, one.task), (other.client, other.task)]
                    .contains(&(of.client, of.task))
        };
        if let Some(release) = self.find(is_by_third) {
            text.push_str(&format!(", let in by {}", words.full(release)));
        }
        let spans: Vec<String> = [one, other]
            .into_iter()
            .filter_map(|of| self.belief(of))
            .collect();
        if let [first, second] = spans.as_slice() {
            text.push_str(&format!("; {first}, and {second}"));
        }
        Some(text)
    }

    fn belief(&self, of: &Operation) -> Option<String> {
        let mut beliefs = self.words.history.beliefs().iter();
        let belief = beliefs.find(|belief| {
            (belief.key, belief.client, belief.task, belief.token)
                == (of.key, of.client, of.task, of.token)
                && belief.from >= of.invoked
        })?;
        Some(format!(
            "{} believed it from {} to {}",
            who(of),
            self.words.at(belief.from),
            self.words.at(belief.until)
        ))
    }

    pub(super) fn handed_out_late(&self) -> Option<String> {
        let words = self.words;
        let grant = self.find(is_grant)?;
        Some(format!(
            "token {} was handed to {} at {}, but its lease of {}, counted from the request at {}, \
             was past its deadline by then",
            grant.token,
            who(grant),
            words.at(grant.returned),
            words.times.length(grant.ttl_ns),
            words.at(grant.invoked)
        ))
    }
}
