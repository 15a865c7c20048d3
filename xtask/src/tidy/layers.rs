//! Who may use what, as data. To allow a new arrow, edit this file and say why.

/// One layer of lock-core.
pub(super) struct Layer {
    pub(super) name: &'static str,
    /// Files below `lock-core/src`, without `.rs`.
    pub(super) modules: &'static [&'static str],
    /// Layers that its modules may use, besides its own.
    pub(super) may_use: &'static [&'static str],
}

/// The layers of lock-core, from the bottom.
pub(super) const LAYERS: &[Layer] = &[
    Layer {
        name: "words",
        modules: &[
            "answer", "error", "finding", "label", "lease", "name", "owner", "request", "state",
            "token", "ttl",
        ],
        may_use: &[],
    },
    Layer {
        name: "ports",
        modules: &["backend", "clock", "codec", "entropy"],
        may_use: &["words"],
    },
    Layer {
        name: "plans",
        modules: &[
            "acquire/plan",
            "backoff",
            "options",
            "queue/plan",
            "renewal/plan",
        ],
        may_use: &["words", "ports"],
    },
    Layer {
        name: "drivers",
        modules: &[
            "acquire",
            "call",
            "engine",
            "held",
            "hold",
            "instrument",
            "instrument/meter",
            "outstanding",
            "queue",
            "reaper",
            "renewal",
            "renewal/thread",
            "shape",
            "update",
        ],
        may_use: &["words", "ports", "plans"],
    },
    Layer {
        name: "handles",
        modules: &["client", "fence", "guard", "mutex"],
        may_use: &["words", "ports", "plans", "drivers"],
    },
    Layer {
        name: "for backends",
        modules: &["memory", "memory/record", "wakeups"],
        may_use: &["words", "ports"],
    },
];

/// An arrow against the grain that is allowed.
pub(super) struct Exception {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    /// For whoever reads this file.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by people and by a test"))]
    pub(super) reason: &'static str,
}

/// The arrows against the grain that are allowed. One that is no longer needed is a finding.
pub(super) const EXCEPTIONS: &[Exception] = &[
    Exception {
        from: "owner",
        to: "entropy",
        reason: "OwnerId::draw takes the port, so that no owner id is made from anything but it",
    },
    Exception {
        from: "client",
        to: "memory",
        reason: "a client on the reference backend is the first thing that a reader makes",
    },
];

/// One crate of the workspace and the crates of the workspace that it may depend on.
pub(super) struct Crate {
    pub(super) name: &'static str,
    pub(super) dependencies: &'static [&'static str],
    /// For its tests, besides its dependencies.
    pub(super) dev_dependencies: &'static [&'static str],
}

/// The crates of the workspace.
pub(super) const CRATES: &[Crate] = &[
    Crate {
        name: "lock-core",
        dependencies: &[],
        dev_dependencies: &[],
    },
    Crate {
        name: "lock-redis",
        dependencies: &["lock-core"],
        dev_dependencies: &["lock-testkit"],
    },
    Crate {
        name: "lock-postgres",
        dependencies: &["lock-core"],
        dev_dependencies: &["lock-testkit"],
    },
    Crate {
        name: "lock-sqlite",
        dependencies: &["lock-core"],
        dev_dependencies: &["lock-testkit"],
    },
    Crate {
        name: "lock-testkit",
        dependencies: &["lock-core"],
        dev_dependencies: &[],
    },
    Crate {
        name: "lock-zoo",
        dependencies: &["lock-core", "lock-redis", "lock-testkit"],
        dev_dependencies: &[],
    },
    Crate {
        name: "distributed-mutex",
        dependencies: &["lock-core", "lock-redis", "lock-postgres", "lock-sqlite"],
        dev_dependencies: &["lock-testkit"],
    },
    Crate {
        name: "lock-cli",
        // `dlock verify` is the suite, run on a store that is there.
        dependencies: &["distributed-mutex", "lock-testkit"],
        dev_dependencies: &["lock-testkit"],
    },
    Crate {
        name: "benches",
        dependencies: &[
            "distributed-mutex",
            "lock-core",
            "lock-redis",
            "lock-testkit",
        ],
        dev_dependencies: &[],
    },
    Crate {
        name: "examples",
        dependencies: &[
            "distributed-mutex",
            "lock-core",
            "lock-postgres",
            "lock-redis",
            "lock-sqlite",
            "lock-testkit",
        ],
        dev_dependencies: &[],
    },
    Crate {
        name: "examples/inventory_service",
        dependencies: &["distributed-mutex"],
        dev_dependencies: &["lock-testkit"],
    },
    Crate {
        name: "examples/tests",
        dependencies: &[],
        dev_dependencies: &["lock-core", "lock-testkit"],
    },
    Crate {
        name: "xtask",
        dependencies: &[],
        dev_dependencies: &[],
    },
];
