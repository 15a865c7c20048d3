//! `dlock`: flock across machines, and what is needed at three in the morning. docs/dlock.md is its
//! manual.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "dlock needs Linux: it keeps a command's processes below itself by PR_SET_CHILD_SUBREAPER and \
     finds them in /proc"
);

mod bench;
mod breaking;
mod breaks;
mod cli;
mod codes;
mod doctor;
mod length;
mod moment;
mod output;
mod pages;
mod patience;
mod run;
mod show;
mod store;
mod value;
#[cfg(feature = "verify")]
mod verify;
mod waiting;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    match run::inner_role(&mut arguments) {
        Ok(front) => ExitCode::from(dispatch(&arguments, front)),
        Err(code) => ExitCode::from(code),
    }
}

fn dispatch(arguments: &[OsString], front: Option<run::Front>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) => {
            // Nobody left to read it is no reason to fail.
            let _shown = e.print();
            return if e.use_stderr() {
                codes::USAGE
            } else {
                codes::OK
            };
        }
    };
    let url = cli.url.as_deref();
    match &cli.command {
        Command::Run(args) => run::run(args, url, front, arguments),
        Command::Status(args) => block_on(show::status(args, url)),
        Command::List(args) => block_on(show::list(args, url)),
        Command::Wait(args) => block_on(waiting::wait(args, url)),
        Command::Break(args) => block_on(breaking::break_lock(args, url)),
        Command::Breaks(args) => block_on(breaks::list(args, url)),
        Command::Get(args) => block_on(value::get(args, url)),
        Command::Set(args) => block_on(value::set(args, url)),
        Command::Completions(args) => pages::completions(args),
        Command::Man(args) => pages::man(args),
        Command::Doctor(args) => block_on(doctor::examine(args, url)),
        #[cfg(feature = "verify")]
        Command::Verify(args) => block_on(verify::verify(args, url)),
        Command::Bench(args) => block_on(bench::measure(args, url)),
    }
}

fn block_on(work: impl Future<Output = u8>) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(work);
            // A blocked name look-up must not keep us.
            runtime.shutdown_background();
            code
        }
        Err(e) => {
            output::complain(format_args!("cannot start: {e}"));
            codes::SOFTWARE
        }
    }
}
