//! `dlock break`: takes a lock from its holder.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use distributed_mutex::{ForcedRelease, HolderInfo, LockOptions};

use crate::breaks::{self, Break};
use crate::cli::BreakArgs;
use crate::codes;
use crate::output::{Escaped, complain, failed, print, whole};
use crate::{show, store};

pub(crate) async fn break_lock(args: &BreakArgs, url: Option<&str>) -> u8 {
    let name = Escaped(&args.name);
    let locks = match store::connect(url, LockOptions::builder()).await {
        Ok(locks) => locks,
        Err(e) => return failed(&e),
    };
    let seen = match locks.inspect(&args.name).await {
        Ok(info) => info.holder,
        Err(e) => return failed(&e),
    };
    let Some(seen) = seen else {
        complain(format_args!("lock '{name}' is not held: nothing to break"));
        return codes::REFUSED;
    };
    if !args.yes {
        match agreed(args, &seen) {
            Ok(true) => {}
            Ok(false) => {
                complain("nothing was done");
                return codes::REFUSED;
            }
            Err(message) => {
                complain(message);
                return codes::USAGE;
            }
        }
    }
    match locks.force_release(&args.name).await {
        Ok(ForcedRelease::Released(holder)) => {
            if holder.owner != seen.owner {
                complain("the lock had passed on meanwhile: another holder lost it than was shown");
            }
            let broken = Break::new(&args.name, &args.reason, &holder);
            let said = format!(
                "broke lock '{name}': it was held by {}\nby {}\nreason: {}\n",
                show::sentence(&holder),
                broken.by(),
                broken.reason(),
            );
            // Before anything is printed: where nobody reads that, it ends us.
            if let Err(e) = breaks::record(&locks, broken).await {
                complain(format_args!(
                    "the lock is broken, but that could not be recorded in the store: {}",
                    Escaped(&whole(&e))
                ));
                // What was not confirmed is given back, or ends at its ttl.
                let _closed = locks.close(Duration::from_secs(2)).await;
            }
            print(said);
            codes::OK
        }
        Ok(_) => {
            complain(format_args!(
                "lock '{name}' was given up meanwhile: nothing to break"
            ));
            codes::REFUSED
        }
        Err(e) => failed(&e),
    }
}

/// Asks, where somebody can answer.
fn agreed(args: &BreakArgs, holder: &HolderInfo) -> Result<bool, &'static str> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err("break asks first, and there is no terminal to ask on: add --yes");
    }
    let mut out = io::stderr().lock();
    let asked = write!(
        out,
        "Lock '{}' is held by {}.\nIts commits will be refused, and another may take it at once. \
         Break it? [y/N] ",
        Escaped(&args.name),
        show::sentence(holder),
    );
    let mut answer = String::new();
    let read = asked
        .and_then(|()| out.flush())
        .and_then(|()| stdin.lock().read_line(&mut answer));
    let answer = answer.trim().to_ascii_lowercase();
    Ok(read.is_ok() && (answer == "y" || answer == "yes"))
}
