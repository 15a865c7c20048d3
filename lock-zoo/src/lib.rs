//! Broken locks, each wrong in exactly one way, and what catches them: they prove the test kit.
//!
//! A test kit that finds nothing may be blind. Each [`Member`] has one defect that was
//! seen in real code, and names the property under which the kit must report it. The same plans on a
//! store without defects must be free of findings, and for each property there is a member that
//! nothing else catches, so that no rule is dead.
//!
//! - [`store`] is a small store with a [`Defect`] for each place where real code goes wrong.
//! - [`client`](Habit) has the bad habits of clients on a right store, also of those that pass a lease from
//!   task to task.
//! - [`served`] has locks of others on real servers.
//! - `cargo xtask zoo` shows the whole table, `cargo xtask zoo <id>` one member's report.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each place asks for the defects that concern it and is right for all others"
)]

mod client;
mod lock;
mod member;
mod members;
mod relay;
pub mod served;
pub mod store;
pub mod table;

pub use client::Habit;
pub use lock::BrokenLock;
pub use member::{CASES, Member, SEED, first, limits, memory_limits, rules, verdict};
pub use members::{member, members};
pub use store::Defect;
