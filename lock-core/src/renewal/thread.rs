//! A thread of its own for the renewals of a client, with a small runtime.

use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Runtime};

use crate::engine::Core;
use crate::error::{Error, ErrorKind};
use crate::renewal::{Connect, run};

/// What the system shows of the thread; Linux shows 15 bytes.
const NAME: &str = "lock-renewal";

/// Starts it; it ends when the client is closed or gone.
pub(crate) fn start(core: Arc<Core>, connect: &Connect) -> Result<thread::JoinHandle<()>, Error> {
    let refused = |error| {
        let message = "no thread for renewals can be started";
        Error::new(ErrorKind::Unsupported, message).with_source(error)
    };
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().thread_name(NAME).build();
    let runtime = Owned(Some(runtime.map_err(refused)?));
    let connect = Arc::clone(connect);
    let thread = thread::Builder::new().name(NAME.to_owned());
    let renew = move || {
        if let Some(runtime) = &runtime.0 {
            runtime.block_on(run(core, Some(connect)));
        }
    };
    thread.spawn(renew).map_err(refused)
}

/// A runtime that may be dropped anywhere: it waits for nothing.
struct Owned(Option<Runtime>);

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
