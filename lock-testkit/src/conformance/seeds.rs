//! Plans that failed before, in a file beside the caller's tests.

use std::io::Write;
use std::path::Path;

use crate::SetupError;
use crate::plan::Plan;

const HEAD: &str = "\
# Plans that failed once: the conformance suite runs them first. A line is the case and the plan.
# Keep this file under version control, and remove a line only with the case that it belongs to.
";

/// The plans of this case.
pub(super) fn of(path: Option<&Path>, id: &str) -> Result<Vec<Plan>, SetupError> {
    let Some(path) = path.filter(|path| path.exists()) else {
        return Ok(Vec::new());
    };
    let text = std::fs::read_to_string(path).map_err(|e| failed(path, "read", e))?;
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let mine = lines.filter(|(case, _)| *case == id);
    mine.map(|(_, line)| {
        Plan::from_line(line).map_err(|e| {
            SetupError::new(format!("a line for {id} of {}", path.display())).with_source(e)
        })
    })
    .collect()
}

/// Keeps a plan that failed, unless it is there already.
pub(super) fn keep(path: Option<&Path>, id: &str, plan: &Plan) -> Result<(), SetupError> {
    let Some(path) = path else {
        return Ok(());
    };
    if of(Some(path), id)?.contains(plan) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| failed(path, "write", e))?;
    }
    let is_new = !path.exists();
    let mut text = if is_new {
        HEAD.to_owned()
    } else {
        String::new()
    };
    text.push_str(&format!("{id} {}\n", plan.to_line()));
    let options = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path);
    options
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|e| failed(path, "write", e))
}

fn failed(path: &Path, what: &str, error: std::io::Error) -> SetupError {
    SetupError::new(format!("cannot {what} {}", path.display())).with_source(error)
}
