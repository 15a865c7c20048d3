//! The store that the user named, or the file of their own.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use distributed_mutex::{
    Connector, Error, ErrorKind, Label, LockClient, LockOptions, LockOptionsBuilder,
};

/// A client of the store, with these options where its URL does not say otherwise.
pub(crate) async fn connect(
    url: Option<&str>,
    options: LockOptionsBuilder,
) -> Result<LockClient, Error> {
    let connector = Connector::new().defaults(options);
    // Whether a build knows it or not: no other command would see such a lock.
    if url.is_some_and(|url| url.starts_with("memory:")) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "a store in memory ends with the command; give the URL of a file or a server",
        ));
    }
    match url {
        Some(url) => connector.connect(url).await,
        None => connector.connect(&own_file()?).await,
    }
}

/// A client whose leases last so long and whose holders have this text.
pub(crate) async fn connect_for(
    url: Option<&str>,
    ttl: Option<Duration>,
    text: Option<&str>,
) -> Result<LockClient, Error> {
    let mut options = LockOptions::builder().label(label(text).as_str());
    if let Some(ttl) = ttl {
        options = options.ttl(ttl);
    }
    let locks = connect(url, options).await?;
    match ttl {
        Some(ttl) if locks.options().ttl().as_duration() != ttl => Err(invalid(
            "the URL has a ttl and --ttl says another; give one of them",
        )),
        _ => Ok(locks),
    }
}

/// This process, the text, and the trace in which it runs, where the environment names one.
pub(crate) fn label(text: Option<&str>) -> Label {
    let mut label = Label::of_this_process();
    if let Ok(trace) = std::env::var("TRACEPARENT") {
        label = label.with_trace(&trace);
    }
    match text {
        Some(text) => label.with_text(text),
        None => label,
    }
}

/// The URL of the user's own file, whose folder is made if it is not there.
pub(crate) fn own_file() -> Result<String, Error> {
    let state = match std::env::var_os("XDG_STATE_HOME").map(PathBuf::from) {
        // As the XDG specification has it: what is not absolute is ignored.
        Some(folder) if folder.is_absolute() => folder,
        _ => match std::env::var_os("HOME").map(PathBuf::from) {
            Some(home) if home.is_absolute() => home.join(".local/state"),
            _ => {
                return Err(invalid(
                    "there is no place for the file of locks: neither XDG_STATE_HOME nor HOME is an \
                     absolute path; name a store by --url or DLOCK_URL",
                ));
            }
        },
    };
    let folder = state.join("dlock");
    make_private(&folder)?;
    let file = folder.join("locks.db");
    let path = file.to_str().filter(|path| !path.contains(['?', '#']));
    match path {
        Some(path) => Ok(format!("sqlite:{path}")),
        None => Err(invalid(format!(
            "the path {} cannot be written in a URL; name a store by --url or DLOCK_URL",
            file.display()
        ))),
    }
}

/// Makes the folder for its owner alone, and refuses one in which others may write: they could put
/// another file there.
fn make_private(folder: &Path) -> Result<(), Error> {
    let failed = |what: &str, e: std::io::Error| {
        invalid(format!(
            "cannot {what} the folder {}: {e}; name a store by --url or DLOCK_URL",
            folder.display()
        ))
    };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).map_err(|e| failed("make", e))?;
    let metadata = fs::metadata(folder).map_err(|e| failed("look at", e))?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if ours && metadata.permissions().mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(invalid(format!(
        "others may write in the folder {}, so its locks cannot be trusted; make it yours alone \
         (chown, chmod 700), or name a store by --url or DLOCK_URL",
        folder.display()
    )))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
