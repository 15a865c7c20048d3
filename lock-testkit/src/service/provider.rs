//! Where a server comes from, and what can be done to one wherever it came from.
#![cfg_attr(
    not(feature = "containers"),
    expect(
        dead_code,
        clippy::unused_async,
        reason = "what only containers need stays, so that both ways look alike"
    )
)]

use std::path::PathBuf;

use super::process::Process;
use crate::SetupError;

/// What becomes of a server's data at a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "data stays or goes")]
pub enum Data {
    /// The server starts with an empty disk.
    Discard,
    /// The server finds what it wrote to its disk before.
    Keep,
}

/// How to run a server, wherever that may be. In arguments, files and variables `{files}` stands for
/// the folder of the files and `{data}` for the server's own.
#[derive(Clone, Debug, Default)]
pub(super) struct Launch {
    /// What is run in a container; a process is of the program that was found.
    pub(super) program: &'static str,
    /// One of the files, where the program alone will not do: a shell runs it, and its first
    /// argument is the program.
    pub(super) script: Option<&'static str>,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(&'static str, String)>,
    /// Name and content.
    pub(super) files: Vec<(String, Vec<u8>)>,
    pub(super) ports: Vec<u16>,
    /// Shell commands that remove what a killed server leaves outside its folder.
    pub(super) sweep: &'static str,
}

impl Launch {
    /// The words of the command line.
    pub(super) fn words(&self, program: &str, fill: &dyn Fn(&str) -> String) -> Vec<String> {
        let script = self.script.map(|file| fill(&format!("{{files}}/{file}")));
        let shell = script.into_iter().flat_map(|file| ["sh".to_owned(), file]);
        shell
            .chain(std::iter::once(program.to_owned()))
            .chain(self.arguments.iter().map(|a| fill(a)))
            .collect()
    }

    /// Adds a file of text.
    pub(super) fn file(&mut self, name: &str, text: &str) {
        self.files.push((name.to_owned(), text.as_bytes().to_vec()));
    }

    /// Changes what a file says, for the next time that it is written.
    pub(super) fn rewrite(&mut self, name: &str, content: &[u8]) {
        for (file, old) in &mut self.files {
            if file == name {
                *old = content.to_vec();
            }
        }
    }
}

/// The content of a file; what is no text has nothing to fill in.
pub(super) fn fill_file(content: &[u8], fill: &dyn Fn(&str) -> String) -> Vec<u8> {
    match std::str::from_utf8(content) {
        Ok(text) => fill(text).into_bytes(),
        Err(_) => content.to_vec(),
    }
}

/// What can provide a server.
#[derive(Clone, Debug)]
pub(super) enum Provider {
    #[cfg(feature = "containers")]
    Container {
        image: String,
    },
    Process {
        program: PathBuf,
    },
    Url(String),
}

/// The environment variables and names of one kind of server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// What it is called in messages.
    pub(super) name: &'static str,
    pub(super) variable: &'static str,
    /// Programs to look for on the path.
    pub(super) programs: &'static [&'static str],
    /// Folders to look in after those of the path. A `*` is any name, the last in order first.
    pub(super) folders: &'static [&'static str],
    /// Images to look for, the best first. `cargo xtask test` provides one of them.
    pub(super) images: &'static [&'static str],
}

impl Kind {
    /// Chooses by the environment. `shared` tells that the test leaves the server as it is.
    pub(super) async fn provider(&self, shared: bool) -> Result<Provider, SetupError> {
        let choice = self.env("");
        match choice.as_deref() {
            Some("container") => self.container().await,
            Some("process") => self.process(),
            Some("url") => self.url(shared),
            None => self.any(shared).await,
            Some(other) => Err(SetupError::new(format!(
                "{} is {other:?}: it must be container, process or url",
                self.variable
            ))),
        }
    }

    async fn any(&self, shared: bool) -> Result<Provider, SetupError> {
        if shared && self.env("_URL").is_some() {
            return self.url(shared);
        }
        let no_container = match self.container().await {
            Ok(provider) => return Ok(provider),
            Err(e) => e,
        };
        self.process().map_err(|no_process| {
            SetupError::new(format!(
                "no {} server for this test: {no_container:?}; {no_process}. `cargo xtask test` \
                 provides one",
                self.name
            ))
        })
    }

    #[cfg(feature = "containers")]
    async fn container(&self) -> Result<Provider, SetupError> {
        let named = self.env("_IMAGE");
        let images = match &named {
            Some(image) => vec![image.as_str()],
            None => self.images.to_vec(),
        };
        let image = super::container::first_present(&images).await?;
        Ok(Provider::Container { image })
    }

    #[cfg(not(feature = "containers"))]
    async fn container(&self) -> Result<Provider, SetupError> {
        Err(SetupError::new(
            "containers need lock-testkit's feature `containers`",
        ))
    }

    fn process(&self) -> Result<Provider, SetupError> {
        let find = |folders: &[PathBuf]| {
            let mut paths = self
                .programs
                .iter()
                .flat_map(|program| folders.iter().map(move |folder| folder.join(program)));
            paths.find(|path| path.is_file())
        };
        let program = match self.env("_SERVER").map(PathBuf::from) {
            Some(folder) if folder.is_dir() => find(&[folder]),
            Some(program) => Some(program),
            None => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let mut folders: Vec<_> = std::env::split_paths(&path).collect();
                folders.extend(self.folders.iter().flat_map(|folder| matching(folder)));
                find(&folders)
            }
        };
        let program = program.ok_or_else(|| {
            SetupError::new(format!(
                "there is no {} on the path: install it or set {}_SERVER to it or its folder",
                self.programs.join(" or "),
                self.variable
            ))
        })?;
        Ok(Provider::Process { program })
    }

    fn url(&self, shared: bool) -> Result<Provider, SetupError> {
        let url = self.env("_URL").ok_or_else(|| {
            SetupError::new(format!(
                "{0} is \"url\" but {0}_URL is not set: give it a server's URL",
                self.variable
            ))
        })?;
        if !shared {
            return Err(SetupError::new(format!(
                "this test pauses, kills or configures its {} server, which one given by URL is \
                 not for: set {} to container or process",
                self.name, self.variable
            )));
        }
        Ok(Provider::Url(url))
    }

    /// Fails where servers in containers cannot reach each other, or a proxy.
    pub(super) fn reaches_others(&self, provider: &Provider) -> Result<(), SetupError> {
        #[cfg(feature = "containers")]
        if matches!(provider, Provider::Container { .. }) && !super::container::HOST_NETWORK {
            return Err(SetupError::new(format!(
                "containers cannot reach each other by loopback on this system: set {}=process",
                self.variable
            )));
        }
        #[cfg(not(feature = "containers"))]
        let _ = (self.variable, provider);
        Ok(())
    }

    /// The environment variable with this ending; an empty one is as good as none.
    fn env(&self, ending: &str) -> Option<String> {
        std::env::var(format!("{}{ending}", self.variable))
            .ok()
            .filter(|value| !value.is_empty())
    }
}

/// The folders that a pattern with at most one `*` names.
fn matching(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once("/*/") else {
        return vec![pattern.into()];
    };
    let entries = std::fs::read_dir(before).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path().join(after)).collect();
    folders.sort();
    folders.reverse();
    folders
}

/// A server that was started, or given.
#[derive(Debug)]
pub(super) enum Running {
    #[cfg(feature = "containers")]
    Container(Box<super::container::Container>),
    Given,
    Process(Box<Process>),
}

impl Running {
    pub(super) async fn launch(provider: Provider, launch: Launch) -> Result<Self, SetupError> {
        Ok(match provider {
            #[cfg(feature = "containers")]
            Provider::Container { image } => Self::Container(Box::new(
                super::container::Container::launch(image, launch).await?,
            )),
            Provider::Process { program } => {
                Self::Process(Box::new(Process::launch(program, launch)?))
            }
            Provider::Url(_) => Self::Given,
        })
    }

    pub(super) async fn pause(&mut self) -> Result<(), SetupError> {
        match self {
            #[cfg(feature = "containers")]
            Self::Container(container) => container.pause().await,
            Self::Given => Err(given()),
            Self::Process(process) => process.pause(),
        }
    }

    pub(super) async fn unpause(&mut self) -> Result<(), SetupError> {
        match self {
            #[cfg(feature = "containers")]
            Self::Container(container) => container.unpause().await,
            Self::Given => Err(given()),
            Self::Process(process) => process.unpause(),
        }
    }

    pub(super) async fn kill(&mut self) -> Result<(), SetupError> {
        match self {
            #[cfg(feature = "containers")]
            Self::Container(container) => container.kill().await,
            Self::Given => Err(given()),
            Self::Process(process) => process.kill(),
        }
    }

    /// Starts a server that was killed.
    pub(super) async fn start(&mut self, data: Data) -> Result<(), SetupError> {
        match self {
            #[cfg(feature = "containers")]
            Self::Container(container) => container.start(data).await,
            Self::Given => Err(given()),
            Self::Process(process) => process.start(data),
        }
    }

    /// Changes a file of the server in its place, while the server has it open.
    pub(super) async fn rewrite(&mut self, name: &str, content: &[u8]) -> Result<(), SetupError> {
        match self {
            #[cfg(feature = "containers")]
            Self::Container(container) => container.rewrite(name, content).await,
            Self::Given => Err(given()),
            Self::Process(process) => process.rewrite(name, content),
        }
    }

    /// Whether the server ended by itself.
    pub(super) async fn has_exited(&mut self) -> bool {
        match self {
            #[cfg(feature = "containers")]
            Self::Container(container) => container.has_exited().await,
            Self::Given => false,
            Self::Process(process) => process.has_exited(),
        }
    }

    /// What the server said so far.
    pub(super) async fn log(&self) -> String {
        match self {
            #[cfg(feature = "containers")]
            Self::Container(container) => container.log().await,
            Self::Given => String::new(),
            Self::Process(process) => process.log(),
        }
    }
}

fn given() -> SetupError {
    SetupError::new("a server given by URL is not ours to pause, kill or start")
}
