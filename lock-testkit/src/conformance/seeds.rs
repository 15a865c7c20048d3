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
    let mut plans = Vec::new();
    for (number, line) in (1_usize..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let bad = |what: &str| SetupError::new(format!("{}:{number}: {what}", path.display()));
        let (case, plan) = line
            .split_once(' ')
            .filter(|(case, _)| super::ids().contains(case))
            .ok_or_else(|| bad("a line is a case's name, a space and a plan"))?;
        if case == id {
            let plan = Plan::from_line(plan);
            plans.push(plan.map_err(|e| bad("this is no plan").with_source(e))?);
        }
    }
    Ok(plans)
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
