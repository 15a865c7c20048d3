//! `dlock run`: a command that is gone before its lock can pass to another.
//!
//! Several processes of one program, so that no failure of one leaves the command running:
//!
//! ```text
//! front    where there is a terminal: stands for the job to the shell, stops and goes on with it
//! keeper   takes the lock, renews it, gives it up; moves the warden's deadline (tokio, network)
//! warden   parent of the command; kills it and all below it at the deadline; no runtime, no network
//! launch   becomes the command, tied to the warden's life
//! ```
//!
//! The keeper is the front where there is no terminal. Each learns from the end of its line that the
//! other is gone. What remains open is written in docs/dlock.md.

mod boot;
mod front;
mod keeper;
mod launch;
mod line;
mod signals;
mod tree;
mod warden;

use std::ffi::OsString;

use crate::cli::RunArgs;
use crate::codes;
use crate::output::complain;

pub(crate) use keeper::Front;

const KEEP: &str = "__keep";
const LAUNCH: &str = "__launch";
const WARDEN: &str = "__warden";

/// Runs one of the inner roles, if the arguments ask for one; the keeper's is an ordinary command
/// line, with its front.
pub(crate) fn inner_role(arguments: &mut Vec<OsString>) -> Result<Option<Front>, u8> {
    let role = arguments.get(1).and_then(|role| role.to_str());
    match role {
        Some(LAUNCH) => Err(launch::launch(arguments.get(2..).unwrap_or_default())),
        Some(WARDEN) => Err(warden::watch(arguments.get(2..).unwrap_or_default())),
        Some(KEEP) => {
            let front = arguments
                .get(2)
                .and_then(|text| text.to_str()?.parse().ok());
            let rest = arguments.get(3..).unwrap_or_default().iter().cloned();
            *arguments = arguments.iter().take(1).cloned().chain(rest).collect();
            match front.map(Front::answer) {
                Some(Ok(front)) => Ok(Some(front)),
                Some(Err(e)) => Err(failed("the keeper of the lock", &e)),
                None => Err(codes::USAGE),
            }
        }
        _ => Ok(None),
    }
}

/// Takes the lock, runs the command, gives the lock up.
pub(crate) fn run(
    args: &RunArgs,
    url: Option<&str>,
    front: Option<Front>,
    arguments: &[OsString],
) -> u8 {
    if let Err(e) = signals::block_terminal_stops() {
        return failed("blocking a signal", &e.into());
    }
    if front.is_none()
        && let Some(terminal) = launch::terminal()
    {
        return match front::stand(&terminal, arguments) {
            Ok(code) => code,
            Err(e) => failed("the front of the job", &e),
        };
    }
    keeper::keep(args, url, front)
}

fn failed(what: &str, error: &std::io::Error) -> u8 {
    complain(format_args!("{what} failed: {error}"));
    codes::SOFTWARE
}
