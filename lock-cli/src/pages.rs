//! Completions and manual pages, from the same definition as the command line.

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::codes;
use crate::output::{complain, print};

pub(crate) fn completions(args: &CompletionsArgs) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "dlock", &mut script);
    print(String::from_utf8_lossy(&script));
    codes::OK
}

pub(crate) fn man(args: &ManArgs) -> u8 {
    let made = std::fs::create_dir_all(&args.directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.directory));
    match made {
        Ok(()) => codes::OK,
        Err(e) => {
            let directory = args.directory.display();
            complain(format_args!("cannot write the pages into {directory}: {e}"));
            codes::SOFTWARE
        }
    }
}
