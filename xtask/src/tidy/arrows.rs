//! Modules of lock-core use only what their layer may use.

use std::collections::{BTreeMap, BTreeSet};

use super::layers::{EXCEPTIONS, Exception, LAYERS, Layer};
use super::{Source, code_of, numbered};

/// The findings in lock-core's modules.
pub(super) fn check(files: &[Source]) -> Vec<String> {
    Table::new(LAYERS, EXCEPTIONS).check(files)
}

/// Layers and exceptions, ready to be asked.
pub(super) struct Table {
    layers: &'static [Layer],
    exceptions: &'static [Exception],
}

/// A use of one module by another.
#[derive(PartialEq, Eq)]
struct Arrow {
    line: usize,
    to: String,
}

impl Table {
    pub(super) fn new(layers: &'static [Layer], exceptions: &'static [Exception]) -> Self {
        Self { layers, exceptions }
    }

    pub(super) fn check(&self, files: &[Source]) -> Vec<String> {
        let modules: BTreeMap<String, &Source> = files
            .iter()
            .filter_map(|file| Some((module_of(&file.path)?, file)))
            .collect();
        let exported = modules
            .get("lib")
            .map(|lib| exports(&lib.text))
            .unwrap_or_default();
        let mut findings = Vec::new();
        let mut used = BTreeSet::new();
        for (from, file) in &modules {
            if from == "lib" {
                continue;
            }
            let Some(layer) = self.layer_of(from) else {
                findings.push(format!(
                    "{}:1: module {from} is in no layer: add it to xtask/src/tidy/layers.rs",
                    file.path
                ));
                continue;
            };
            for arrow in arrows(from, &file.text, &modules, &exported) {
                let Some(target) = self.layer_of(&arrow.to) else {
                    continue;
                };
                if target.name == layer.name || layer.may_use.contains(&target.name) {
                    continue;
                }
                let pair = (from.clone(), arrow.to.clone());
                if self.is_excepted(&pair) {
                    used.insert(pair);
                    continue;
                }
                findings.push(format!(
                    "{}:{}: {from} ({}) must not use {} ({})",
                    file.path, arrow.line, layer.name, arrow.to, target.name
                ));
            }
        }
        findings.extend(self.stale(&modules, &used));
        findings
    }

    fn layer_of(&self, module: &str) -> Option<&Layer> {
        self.layers
            .iter()
            .find(|layer| layer.modules.contains(&module))
    }

    fn is_excepted(&self, (from, to): &(String, String)) -> bool {
        self.exceptions
            .iter()
            .any(|exception| exception.from == from && exception.to == to)
    }

    /// Exceptions that nothing needs any more.
    fn stale(
        &self,
        modules: &BTreeMap<String, &Source>,
        used: &BTreeSet<(String, String)>,
    ) -> Vec<String> {
        self.exceptions
            .iter()
            .filter(|exception| modules.contains_key(exception.from))
            .filter(|exception| !used.contains(&(exception.from.into(), exception.to.into())))
            .map(|exception| {
                format!(
                    "xtask/src/tidy/layers.rs:1: the exception {} -> {} is no longer needed",
                    exception.from, exception.to
                )
            })
            .collect()
    }
}

/// `acquire/plan` for `lock-core/src/acquire/plan.rs`; nothing for tests and other crates.
fn module_of(path: &str) -> Option<String> {
    let module = path
        .strip_prefix("lock-core/src/")?
        .strip_suffix(".rs")?
        .trim_end_matches("/mod");
    let is_test = module.split('/').any(|part| part == "tests");
    (!is_test).then(|| module.to_owned())
}

/// What the crate's root re-exports, and from which module: `Ttl` from `ttl`.
fn exports(lib: &str) -> BTreeMap<String, String> {
    let code: String = lib.lines().map(code_of).collect::<Vec<_>>().join("\n");
    let mut exports = BTreeMap::new();
    for statement in code.split(';') {
        let Some((_, path)) = statement.split_once("pub use ") else {
            continue;
        };
        for path in paths(path) {
            if let [module, .., name] = path.as_slice() {
                exports.insert(name.clone(), module.clone());
            }
        }
    }
    exports
}

/// Every use of another module, by `crate::` or `super::`, in imports and elsewhere.
fn arrows(
    from: &str,
    text: &str,
    modules: &BTreeMap<String, &Source>,
    exported: &BTreeMap<String, String>,
) -> Vec<Arrow> {
    let code: String = text.lines().map(code_of).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for prefix in ["crate::", "super::"] {
        for (start, _) in code.match_indices(prefix) {
            let before = code.get(..start).unwrap_or_default();
            // Not the end of another word, nor the second of `super::super::`.
            if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let mut rest = code.get(start + prefix.len()..).unwrap_or_default();
            let mut base: Vec<&str> = Vec::new();
            if prefix == "super::" {
                base = from.split('/').collect();
                base.pop();
                while let Some(further) = rest.strip_prefix("super::") {
                    base.pop();
                    rest = further;
                }
            }
            let line = numbered(before).count().max(1) + usize::from(before.ends_with('\n'));
            for path in paths(rest) {
                let mut whole: Vec<&str> = base.clone();
                whole.extend(path.iter().map(String::as_str));
                let to = target(&whole, modules, exported);
                let arrow = to.filter(|to| to != from).map(|to| Arrow { line, to });
                // A module imported together with what is in it is one arrow.
                if let Some(arrow) = arrow.filter(|arrow| !found.contains(arrow)) {
                    found.push(arrow);
                }
            }
        }
    }
    found
}

/// The module that a path from the root leads to: the longest one that there is.
fn target(
    path: &[&str],
    modules: &BTreeMap<String, &Source>,
    exported: &BTreeMap<String, String>,
) -> Option<String> {
    let first = path.first()?;
    let root = exported.get(*first).map(|module| vec![module.as_str()]);
    let path = root.as_deref().unwrap_or(path);
    (1..=path.len())
        .rev()
        .filter_map(|length| path.get(..length))
        .map(|parts| parts.join("/"))
        .find(|module| module != "lib" && modules.contains_key(module))
}

/// The paths of an import tree: `a::{b, c::D}` is `a::b` and `a::c::D`.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut parser = Paths {
        rest: text,
        found: Vec::new(),
    };
    parser.tree(&mut Vec::new());
    parser.found
}

struct Paths<'a> {
    rest: &'a str,
    found: Vec<Vec<String>>,
}

impl Paths<'_> {
    fn tree(&mut self, base: &mut Vec<String>) {
        let depth = base.len();
        loop {
            self.rest = self.rest.trim_start();
            if let Some(inner) = self.rest.strip_prefix('{') {
                self.rest = inner;
                self.list(base);
                break;
            }
            let length = self
                .rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(length);
            if !word.is_empty() {
                base.push(word.to_owned());
            }
            self.rest = rest;
            match self.rest.strip_prefix("::") {
                Some(rest) if !word.is_empty() => self.rest = rest,
                _ => {
                    self.found.push(base.clone());
                    break;
                }
            }
        }
        base.truncate(depth);
    }

    fn list(&mut self, base: &mut Vec<String>) {
        loop {
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix('}') {
                self.rest = rest;
                return;
            }
            self.tree(base);
            // To the next of the list, over `as name` and `*`.
            match self.rest.find([',', '}']) {
                Some(end) if self.rest[end..].starts_with(',') => {
                    self.rest = &self.rest[end + 1..];
                }
                Some(end) => self.rest = &self.rest[end..],
                None => return,
            }
        }
    }
}
