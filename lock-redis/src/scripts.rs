//! The steps as Lua scripts: sent by their hash, and whole when the server does not know them.

use std::sync::LazyLock;

use redis::Cmd;

use crate::keys::Keys;

/// One atomic step.
pub(crate) struct Script {
    source: &'static str,
    hash: String,
}

/// Every step of the backend.
pub(crate) struct Scripts {
    pub(crate) acquire: Script,
    pub(crate) commit: Script,
    pub(crate) force_release: Script,
    pub(crate) inspect: Script,
    pub(crate) release: Script,
    pub(crate) renew: Script,
}

macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(
            include_str!("scripts/common.lua"),
            include_str!($file)
        ))
    };
}

pub(crate) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    acquire: script!("scripts/acquire.lua"),
    commit: script!("scripts/commit.lua"),
    force_release: script!("scripts/force_release.lua"),
    inspect: script!("scripts/inspect.lua"),
    release: script!("scripts/release.lua"),
    renew: script!("scripts/renew.lua"),
});

impl Script {
    fn new(source: &'static str) -> Self {
        Self {
            source,
            hash: redis::Script::new(source).get_hash().to_owned(),
        }
    }

    /// The call by hash (EVALSHA), on these keys; arguments may follow.
    pub(crate) fn by_hash(&self, keys: &[Keys]) -> Cmd {
        Self::call("EVALSHA", &self.hash, keys)
    }

    /// The call with the whole source (EVAL), which the server remembers from then on.
    pub(crate) fn whole(&self, keys: &[Keys]) -> Cmd {
        Self::call("EVAL", self.source, keys)
    }

    fn call(command: &str, script: &str, keys: &[Keys]) -> Cmd {
        let mut cmd = redis::cmd(command);
        cmd.arg(script).arg(keys.len().saturating_mul(3));
        for keys in keys {
            cmd.arg(&keys.lock).arg(&keys.record).arg(&keys.line);
        }
        cmd
    }
}
