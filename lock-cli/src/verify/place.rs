//! Where a run takes place: in the user's store, apart from the user's locks.

use std::path::Path;

use distributed_mutex::{Clock, Entropy, Error, ErrorKind, SystemClock, SystemEntropy};
use tempfile::TempDir;

use crate::store;

/// The URL of a place in the user's store where no lock of theirs is.
pub(super) struct Place {
    pub(super) url: String,
    /// What it is called in the statement.
    pub(super) kind: String,
    /// The folder of a file of our own.
    folder: Option<TempDir>,
}

impl Place {
    /// - SQLite: another file, in a folder of its own beside the user's, and so on the same disk.
    /// - Redis: a namespace below the user's, so that an ACL that lets them in lets us in.
    /// - PostgreSQL: the user's own table, since it takes a privilege to make another. Every case
    ///   has names of its own, which begin with 16 random digits.
    pub(super) fn new(url: Option<&str>) -> Result<Self, Error> {
        let url = match url {
            Some(url) => url.to_owned(),
            None => store::own_file()?,
        };
        let (address, query) = url.split_once('?').unwrap_or((&url, ""));
        let kind = address.split(':').next().unwrap_or_default().to_owned();
        if let Some(path) = address.strip_prefix("sqlite:") {
            let folder = beside(path.strip_prefix("//").unwrap_or(path))?;
            let file = folder.path().join("locks.db");
            let options = url.split_once('?').map_or("", |_| "?");
            return Ok(Self {
                url: format!("sqlite:{}{options}{query}", file.display()),
                kind,
                folder: Some(folder),
            });
        }
        let mut options: Vec<&str> = query.split('&').filter(|o| !o.is_empty()).collect();
        let has = |name: &str| options.iter().any(|o| o.split('=').next() == Some(name));
        let more = match kind.as_str() {
            "postgres" | "postgresql" => PATIENT
                .into_iter()
                .filter(|option| !has(option.split('=').next().unwrap_or_default()))
                .map(str::to_owned)
                .collect(),
            _ => vec![namespace(&mut options)],
        };
        options.extend(more.iter().map(String::as_str));
        Ok(Self {
            url: format!("{address}?{}", options.join("&")),
            kind,
            folder: None,
        })
    }

    /// Whether all that the run wrote goes away with the place.
    pub(super) fn is_a_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// Takes the folder away, as soon as nothing is written into it any more.
    pub(super) async fn leave(self) {
        let clock = SystemClock::new();
        let Some(folder) = self.folder else { return };
        let path = folder.keep();
        for _ in 0..TRIES {
            if std::fs::remove_dir_all(&path).is_ok() {
                return;
            }
            clock.sleep_until(clock.now().after(PAUSE)).await;
        }
        crate::output::complain(format_args!(
            "the folder {} could not be taken away",
            path.display()
        ));
    }
}

/// Few connections, for which others wait, on a server that forks a process for each.
const PATIENT: [&str; 3] = [
    "connect_timeout=20s",
    "max_connections=1",
    "request_timeout=20s",
];

const TRIES: u32 = 40;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

fn beside(file: &str) -> Result<TempDir, Error> {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.into());
    let folder = file.parent().unwrap_or(Path::new("/"));
    let made = tempfile::Builder::new()
        .prefix(".dlock-verify-")
        .tempdir_in(folder);
    made.map_err(|e| {
        Error::new(
            ErrorKind::Denied,
            format!(
                "cannot make a folder beside the file, in {}",
                folder.display()
            ),
        )
        .with_source(e)
    })
}

/// A namespace below the one that the options have.
fn namespace(options: &mut Vec<&str>) -> String {
    let at = options
        .iter()
        .position(|option| option.starts_with("namespace="));
    let before = at.map_or("namespace=", |at| options.remove(at));
    let mut random = [0; 8];
    SystemEntropy.fill(&mut random);
    format!("{before}dlock-verify-{:016x}:", u64::from_le_bytes(random))
}
