//! Where wake-ups are sent: one FIFO for each client, in a folder beside the file.
//!
//! The folder `FILE-wakeups` holds, for a client, a FIFO that is named by its id, and, for each name
//! that it watches, an empty file that is named by a digest of the name and the id. A FIFO that
//! nobody has open for reading tells that its client is gone, however it went.
//!
//! # Invariants
//! 1. FIFOs are made, and those of others removed, only under the write lock of the file.
//! 2. Nothing here blocks: a FIFO that is full has enough hints in it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lock_core::LockName;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::Failure;
use crate::record::ClientId;

/// The folder of the FIFOs.
#[derive(Debug)]
pub(crate) struct Ears {
    folder: PathBuf,
    /// Whether this client has one.
    listens: AtomicBool,
}

/// A client's FIFO, seen from a sender.
#[derive(Debug)]
pub(crate) enum Ear {
    /// Its client is there, but this process may not tell it anything.
    Deaf,
    /// Nobody reads it any more.
    Gone,
    Open(OwnedFd),
}

/// What is to be told once the transaction is on the disk.
#[derive(Debug)]
pub(crate) enum Push {
    /// Nobody stands in line: whoever watches the name may try.
    Free {
        digest: u64,
        name: LockName,
    },
    To {
        ear: Ear,
        message: Message,
    },
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// An operator took the lock from it.
    Forced(LockName),
    /// It is second in line: the first may be frozen.
    LookAgain(LockName, Duration),
    /// An attempt may succeed now.
    Wake(LockName),
}

/// A message is written whole or not at all, as long as it is shorter than this (`PIPE_BUF`).
pub(crate) const LONGEST: usize = 4096;

impl Message {
    /// Two bytes of length, one of kind, the body.
    pub(crate) fn encoded(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let name = match self {
            Self::Forced(name) => {
                body.push(b'f');
                name
            }
            Self::LookAgain(name, after) => {
                body.push(b's');
                let ms = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
                body.extend_from_slice(&ms.to_be_bytes());
                name
            }
            Self::Wake(name) => {
                body.push(b'w');
                name
            }
        };
        body.extend_from_slice(name.as_str().as_bytes());
        // INVARIANT: a name has at most 512 bytes.
        let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
        let mut message = length.to_be_bytes().to_vec();
        message.append(&mut body);
        message
    }

    /// Takes one message off the front; `None` if it is not whole yet.
    pub(crate) fn decoded(bytes: &mut Vec<u8>) -> Option<Result<Self, Garbled>> {
        let length = usize::from(u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?));
        if length.saturating_add(2) > LONGEST {
            return Some(Err(Garbled));
        }
        let whole = length.saturating_add(2);
        let message = Self::of(bytes.get(2..whole)?);
        drop(bytes.drain(..whole));
        Some(message.ok_or(Garbled))
    }

    fn of(body: &[u8]) -> Option<Self> {
        let name = |bytes| LockName::new(std::str::from_utf8(bytes).ok()?).ok();
        match body.split_first()? {
            (b'f', rest) => Some(Self::Forced(name(rest)?)),
            (b's', rest) => {
                let (ms, rest) = rest.split_first_chunk::<4>()?;
                let after = Duration::from_millis(u64::from(u32::from_be_bytes(*ms)));
                Some(Self::LookAgain(name(rest)?, after))
            }
            (b'w', rest) => Some(Self::Wake(name(rest)?)),
            _ => None,
        }
    }
}

/// What came is no message of this library.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Garbled;

impl Ears {
    /// The folder beside this file.
    pub(crate) fn beside(file: &Path) -> Self {
        let mut folder = file.as_os_str().to_owned();
        folder.push("-wakeups");
        Self {
            folder: folder.into(),
            listens: AtomicBool::new(false),
        }
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether this client is told of anything.
    pub(crate) fn listen(&self) -> bool {
        self.listens.load(Ordering::Relaxed)
    }

    /// Makes the FIFO of this client, with the file's permissions, and opens it for reading.
    pub(crate) fn make(&self, client: ClientId, file: &Path) -> Result<fs::File, Failure> {
        let made = self.try_make(client, file).map_err(|e| {
            let what = format!("cannot make a FIFO in {}", self.folder.display());
            Failure::file(e, &what)
        })?;
        self.listens.store(true, Ordering::Relaxed);
        Ok(made)
    }

    /// Makes the folder, with the file's permissions, unless it is there.
    pub(crate) fn make_folder(&self, file: &Path) -> io::Result<()> {
        let mode = fs::metadata(file)?.mode() & 0o666;
        // Who may read may enter.
        let mode = mode | ((mode >> 2) & 0o111);
        match fs::DirBuilder::new().mode(mode).create(&self.folder) {
            Ok(()) => fs::set_permissions(&self.folder, fs::Permissions::from_mode(mode)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn try_make(&self, client: ClientId, file: &Path) -> io::Result<fs::File> {
        let mode = fs::metadata(file)?.mode() & 0o666;
        let path = self.folder.join(ear_name(client));
        let mut made = Ok(());
        for _ in 0..10 {
            self.make_folder(file)?;
            made = make_fifo(&path);
            // Not found: a client that left has just removed the empty folder.
            if !matches!(&made, Err(e) if e.kind() == io::ErrorKind::NotFound) {
                break;
            }
        }
        made?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        // For writing too, so that it does not end when the last sender leaves.
        fs::OpenOptions::new().read(true).write(true).open(&path)
    }

    /// Removes the FIFO of this client, and the folder if it was the last.
    pub(crate) fn remove(&self, client: ClientId) {
        // Whoever cannot remove it leaves it to the next client's sweep.
        if self.listens.swap(false, Ordering::Relaxed) {
            drop(fs::remove_file(self.folder.join(ear_name(client))));
        }
        drop(fs::remove_dir(&self.folder));
    }

    /// Says that this client watches the name.
    pub(crate) fn mark(&self, digest: u64, client: ClientId) -> io::Result<()> {
        let path = self.folder.join(mark_name(digest, client));
        fs::File::create(path).map(drop)
    }

    /// Says that it does so no longer.
    pub(crate) fn unmark(&self, digest: u64, client: ClientId) {
        // A stale mark costs a false hint, and the next sweep removes it.
        drop(fs::remove_file(self.folder.join(mark_name(digest, client))));
    }

    /// The FIFO of this client, for sending.
    pub(crate) fn of(&self, client: ClientId) -> Ear {
        self.open(&ear_name(client))
    }

    fn open(&self, ear_name: &str) -> Ear {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::open(self.folder.join(ear_name), flags, Mode::empty()) {
            Ok(fd) => Ear::Open(fd),
            Err(Errno::NXIO | Errno::NOENT | Errno::NOTDIR) => Ear::Gone,
            Err(_) => Ear::Deaf,
        }
    }

    /// Tells everybody what is to be told.
    pub(crate) fn send(&self, pushes: Vec<Push>) {
        for push in pushes {
            match push {
                Push::Free { digest, name } => self.tell_watchers(digest, name),
                Push::To { ear, message } => tell(&ear, &message),
            }
        }
    }

    fn tell_watchers(&self, digest: u64, name: LockName) {
        let prefix = format!("{digest:016x}-");
        let message = Message::Wake(name);
        for entry in self.entries() {
            if let Some(client) = entry.strip_prefix(&prefix) {
                tell(&self.open(client), &message);
            }
        }
    }

    /// Removes what clients left that are gone.
    pub(crate) fn sweep(&self) {
        for entry in self.entries() {
            let ear = entry.rsplit('-').next().unwrap_or(&entry);
            if matches!(self.open(ear), Ear::Gone) {
                drop(fs::remove_file(self.folder.join(&entry)));
            }
        }
    }

    /// The names in the folder; none if there is no folder.
    fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }
}

/// A hint that does not go through costs its receiver a bounded delay.
fn tell(ear: &Ear, message: &Message) {
    if let Ear::Open(fd) = ear {
        let _: Result<usize, Errno> = rustix::io::write(fd, &message.encoded());
    }
}

/// FNV-1a, 64 bits: the same in every process. Two names with one digest cost a false hint.
pub(crate) fn digest(namespace: &str, name: &LockName) -> u64 {
    let bytes = namespace.bytes().chain([0]).chain(name.as_str().bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn ear_name(client: ClientId) -> String {
    format!("{:032x}", client.0)
}

fn mark_name(digest: u64, client: ClientId) -> String {
    format!("{digest:016x}-{:032x}", client.0)
}

/// Whether this system has what the wake-ups are made of.
pub(crate) const SUPPORTED: bool = cfg!(any(target_os = "linux", target_os = "android"));

#[cfg(any(target_os = "linux", target_os = "android"))]
fn make_fifo(path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, mkfifoat};

    Ok(mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn make_fifo(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests;
