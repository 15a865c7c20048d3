//! [`Settings`]: how much is run, from which seed, and where files are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lock_core::{Entropy, SystemEntropy};

use super::arguments::Arguments;
use super::summary::CaseReport;
use crate::SetupError;
use crate::plan::Plan;

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// Up to 10 minutes: before a release.
    Full,
    /// Up to 30 seconds: on every change.
    Smoke,
    /// As long as it is told to, with new plans all the time: by night.
    Soak {
        /// For so long.
        length: Duration,
    },
}

impl Profile {
    /// Its name, as the environment has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Smoke => "smoke",
            Self::Soak { .. } => "soak",
        }
    }

    /// Until when plans are begun, counted from the start of the run.
    pub(super) const fn plans_until(self) -> Duration {
        match self {
            Self::Full => Duration::from_secs(360),
            Self::Smoke => Duration::from_secs(12),
            Self::Soak { length } => length,
        }
    }

    /// How many plans of each class are run however long it takes, and how many at most.
    pub(super) const fn plans(self) -> (u32, u32) {
        match self {
            Self::Full => (10, 200),
            Self::Smoke => (2, 6),
            Self::Soak { .. } => (10, u32::MAX),
        }
    }

    /// For how long a plan that failed is made smaller.
    pub(super) const fn shrink(self) -> Duration {
        match self {
            Self::Smoke => Duration::from_secs(8),
            Self::Full | Self::Soak { .. } => Duration::from_secs(60),
        }
    }
}

/// What a run goes by.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Settings {
    /// How much is run.
    pub profile: Profile,
    /// Where the plans' chance comes from.
    pub seed: u64,
    /// The one plan to run.
    pub plan: Option<Plan>,
    /// What is expected of cases; the text of an expectation file.
    pub expectations: String,
    /// The plans that failed before are kept here, if anywhere.
    pub seeds_file: Option<PathBuf>,
    /// The histories of plans that fail are kept here.
    pub histories: PathBuf,
    /// Whether anything is printed.
    pub is_quiet: bool,
    /// Told what came of each case as soon as it ended, also where nothing is printed.
    pub on_case: Option<fn(&CaseReport)>,
    /// How long one case and the setup may take at most; `None` is what the profile allows, and for
    /// the setup 15 minutes.
    pub case_max: Option<Duration>,
    pub(super) arguments: Arguments,
}

impl Default for Settings {
    /// The smoke profile of all cases, from a new seed, without files.
    fn default() -> Self {
        let mut seed = [0; 8];
        SystemEntropy.fill(&mut seed);
        Self {
            profile: Profile::Smoke,
            // Short enough to be typed.
            seed: u64::from_le_bytes(seed) % 1_000_000_000,
            plan: None,
            expectations: String::new(),
            seeds_file: None,
            histories: histories(),
            is_quiet: false,
            on_case: None,
            case_max: None,
            arguments: Arguments::default(),
        }
    }
}

impl Settings {
    /// What the environment says; files beside the caller's tests.
    ///
    /// # Errors
    /// If a variable is not of its form, or a file cannot be read that was named.
    pub fn from_env() -> Result<Self, SetupError> {
        let mut settings = Self {
            profile: profile(
                variable("LOCK_TESTKIT_PROFILE")?.as_deref(),
                variable("LOCK_TESTKIT_MINUTES")?.as_deref(),
            )?,
            ..Self::default()
        };
        if let Some(seed) = variable("LOCK_TESTKIT_SEED")? {
            settings.seed = number("LOCK_TESTKIT_SEED", &seed)?;
        }
        if let Some(line) = variable("LOCK_TESTKIT_PLAN")? {
            let plan = Plan::from_line(&line);
            settings.plan =
                Some(plan.map_err(|e| SetupError::new("LOCK_TESTKIT_PLAN").with_source(e))?);
        }
        let root = variable("CARGO_MANIFEST_DIR")?.map(PathBuf::from);
        let place = |path: PathBuf| root.as_ref().map_or(path.clone(), |root| root.join(path));
        settings.seeds_file = match variable("LOCK_TESTKIT_SEEDS_FILE")? {
            Some(path) => Some(place(path.into())),
            None => root.as_ref().map(|root| root.join(SEEDS_FILE)),
        };
        let named = variable("LOCK_TESTKIT_EXPECTATIONS")?.map(|path| place(path.into()));
        settings.expectations = match (named, root.as_ref().map(|root| root.join(EXPECTATIONS))) {
            (Some(path), _) => read(&path)?,
            (None, Some(path)) if path.exists() => read(&path)?,
            (None, _) => String::new(),
        };
        settings.arguments.junit = variable("LOCK_TESTKIT_JUNIT")?.map(|path| place(path.into()));
        settings.arguments.json = variable("LOCK_TESTKIT_JSON")?.map(|path| place(path.into()));
        Ok(settings)
    }

    /// Only cases whose name contains this, or one of several.
    pub fn filter(mut self, text: impl Into<String>) -> Self {
        self.arguments.filters.push(text.into());
        self
    }

    /// Filters are whole names.
    pub fn exact(mut self) -> Self {
        self.arguments.exact = true;
        self
    }

    /// Runs at most so many cases at once, and so many plans: the default needs a store that lets
    /// hundreds of clients in. None at once is one.
    pub fn at_once(mut self, cases: usize) -> Self {
        self.arguments.threads = Some(cases.max(1));
        self
    }

    /// Leaves out cases whose name contains this.
    pub fn skip(mut self, text: impl Into<String>) -> Self {
        self.arguments.skips.push(text.into());
        self
    }

    /// Writes the results as `JUnit` XML.
    pub fn junit(mut self, path: impl Into<PathBuf>) -> Self {
        self.arguments.junit = Some(path.into());
        self
    }

    /// Writes the results as JSON.
    pub fn json(mut self, path: impl Into<PathBuf>) -> Self {
        self.arguments.json = Some(path.into());
        self
    }

    /// What the command line says goes before what the environment says.
    pub(super) fn with(mut self, arguments: Arguments) -> Self {
        let (junit, json) = (self.arguments.junit.take(), self.arguments.json.take());
        self.arguments = arguments;
        self.arguments.junit = self.arguments.junit.take().or(junit);
        self.arguments.json = self.arguments.json.take().or(json);
        self
    }
}

fn profile(name: Option<&str>, minutes: Option<&str>) -> Result<Profile, SetupError> {
    match name {
        None | Some("smoke") => Ok(Profile::Smoke),
        Some("full") => Ok(Profile::Full),
        Some("soak") => {
            let minutes = minutes.map_or(Ok(60), |text| number("LOCK_TESTKIT_MINUTES", text))?;
            Ok(Profile::Soak {
                length: Duration::from_secs(minutes.saturating_mul(60)),
            })
        }
        Some(other) => Err(SetupError::new(format!(
            "LOCK_TESTKIT_PROFILE is smoke, full or soak, not {other:?}"
        ))),
    }
}

/// A variable that is set to something.
fn variable(name: &str) -> Result<Option<String>, SetupError> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(text)) => {
            Err(SetupError::new(format!("{name} is not UTF-8: {text:?}")))
        }
    }
}

fn number(name: &str, text: &str) -> Result<u64, SetupError> {
    text.parse()
        .map_err(|e| SetupError::new(format!("{name} is a number, not {text:?}")).with_source(e))
}

fn read(path: &Path) -> Result<String, SetupError> {
    std::fs::read_to_string(path)
        .map_err(|e| SetupError::new(format!("cannot read {}", path.display())).with_source(e))
}

/// Beside the build's other products, so that CI finds them and `cargo clean` takes them along.
fn histories() -> PathBuf {
    let executable = std::env::current_exe().unwrap_or_default();
    let target = executable.ancestors().nth(2);
    target.map_or_else(std::env::temp_dir, |target| target.join("lock-testkit"))
}

const SEEDS_FILE: &str = "tests/conformance-seeds.txt";
const EXPECTATIONS: &str = "tests/conformance-expectations.txt";
