//! The servers that tests need: each kind as the environment asks or as the machine can.

use crate::image;
use crate::run::{apt_install, note, on_path, step, succeeds};

/// One kind of server, as in lock-testkit, `service/`.
pub(crate) struct Kind {
    name: &'static str,
    variable: &'static str,
    programs: &'static [&'static str],
    /// Where to look besides the path.
    places: &'static [&'static str],
    package: &'static str,
    /// Images that will do, the best first.
    pub(crate) images: &'static [&'static str],
    /// What is pulled where images can be pulled.
    pub(crate) official: Option<&'static str>,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "Redis",
        variable: "LOCK_TESTKIT_REDIS",
        programs: &["redis-server", "valkey-server"],
        places: &[],
        package: "redis-server",
        images: &[
            "redis:7-bookworm",
            "redis:7",
            image::OWN,
            "lock-testkit/redis:bookworm",
        ],
        official: Some("redis:7-bookworm"),
    },
    Kind {
        name: "PostgreSQL",
        variable: "LOCK_TESTKIT_POSTGRES",
        programs: &["postgres"],
        places: &["/usr/lib/postgresql/*/bin/postgres"],
        package: "postgresql",
        images: &["postgres:15-bookworm", "postgres:15", image::OWN],
        official: Some("postgres:15-bookworm"),
    },
    Kind {
        name: "PgBouncer",
        variable: "LOCK_TESTKIT_PGBOUNCER",
        programs: &["pgbouncer"],
        places: &["/usr/sbin/pgbouncer"],
        package: "pgbouncer",
        images: &[image::OWN],
        official: None,
    },
    Kind {
        name: "etcd",
        variable: "LOCK_TESTKIT_ETCD",
        programs: &["etcd"],
        places: &[],
        package: "etcd-server",
        images: &[image::OWN],
        official: None,
    },
];

/// The variables that tell the testkit of a server, and their values.
pub(crate) type Environment = Vec<(String, String)>;

/// Provides every kind.
pub(crate) fn provide() -> Result<Environment, String> {
    let mut environment = Vec::new();
    for kind in &KINDS {
        step(&format!("{} for the tests", kind.name), || {
            environment.extend(kind.provide()?);
            Ok(())
        })?;
    }
    Ok(environment)
}

impl Kind {
    fn provide(&self) -> Result<Environment, String> {
        let choice = std::env::var(self.variable).unwrap_or_default();
        match choice.as_str() {
            "container" => self.container(),
            "process" => self.process(),
            "url" => {
                note("a server given by URL: tests that control their server will fail");
                Ok(Vec::new())
            }
            "" => {
                if !succeeds("docker", &["info"]) {
                    note("no container engine answers: tests run local servers");
                    return self.process();
                }
                self.container().or_else(|e| {
                    note(&format!("{e}; tests run local servers instead"));
                    self.process()
                })
            }
            other => Err(format!(
                "{} is {other:?}: it must be container, process or url",
                self.variable
            )),
        }
    }

    fn container(&self) -> Result<Environment, String> {
        let named = self.variable("_IMAGE");
        let image = image::provide(self, std::env::var(&named).ok())?;
        let name = self.name;
        note(&format!(
            "each test runs its {name} in a container of {image}"
        ));
        Ok(vec![
            (self.variable(""), "container".to_owned()),
            (named, image),
        ])
    }

    fn process(&self) -> Result<Environment, String> {
        let name = self.name;
        let given = std::env::var_os(self.variable("_SERVER")).is_some();
        if !given && !self.is_installed() {
            apt_install(self.package).map_err(|e| {
                format!("no {name} for the tests: start a container engine, or {e}")
            })?;
        }
        note(&format!("each test runs its own local {name}"));
        Ok(vec![(self.variable(""), "process".to_owned())])
    }

    fn is_installed(&self) -> bool {
        let there = |place: &&str| succeeds("sh", &["-c", &format!("ls {place}")]);
        self.programs.iter().any(|program| on_path(program)) || self.places.iter().any(there)
    }

    fn variable(&self, ending: &str) -> String {
        format!("{}{ending}", self.variable)
    }
}
