//! Provides the images that tests run their servers from: takes what is there, else pulls it, else
//! makes one image of all servers from Debian's packages and keeps it for next time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Outcome;
use crate::run::{LONG, apt_install, is_root, note, on_path, run_long, succeeds};
use crate::servers::Kind;

/// What is made where images cannot be pulled: one for all kinds, as most of the time goes into the
/// system below them.
pub(crate) const OWN: &str = "lock-testkit/servers:bookworm";

/// The name of an image of this kind that is there, after whatever it takes.
pub(crate) fn provide(kind: &Kind, named: Option<String>) -> Result<String, String> {
    if let Some(image) = named.filter(|image| !image.is_empty()) {
        if !is_present(&image) {
            pull(&image)?;
        }
        return Ok(image);
    }
    if let Some(image) = kind.images.iter().find(|image| is_present(image)) {
        note(&format!("the image {image} is there"));
        return Ok((*image).to_owned());
    }
    if let Some(official) = kind.official {
        match pull(official) {
            Ok(()) => return Ok(official.to_owned()),
            Err(e) => note(&format!("{e}; making an image from Debian's packages")),
        }
    }
    build()?;
    Ok(OWN.to_owned())
}

fn is_present(image: &str) -> bool {
    succeeds("docker", &["image", "inspect", image])
}

fn pull(image: &str) -> Outcome {
    let folder = Scratch::new()?;
    run_long(
        &format!("docker pull {image}"),
        Command::new("docker").args(["pull", "--quiet", image]),
        &folder.0.join("log"),
        PULL,
    )
}

/// Makes the image from a minimal Debian with the packages in it.
fn build() -> Outcome {
    if !is_root() {
        return Err(format!(
            "the image {OWN} can be made by root only: run `cargo xtask test` as root once"
        ));
    }
    if !on_path("debootstrap") {
        apt_install("debootstrap")?;
    }
    let folder = Scratch::new()?;
    let system = folder.0.join("system");
    run_long(
        "debootstrap",
        Command::new("debootstrap")
            .args(["--variant=minbase", PACKAGES, "bookworm"])
            .arg(&system)
            // A server's package must not start a server: its script takes run level 1 for a reason.
            .env("RUNLEVEL", "1"),
        &folder.0.join("log"),
        LONG,
    )?;
    let data = system.join("data");
    std::fs::create_dir_all(&data).map_err(|e| format!("cannot make {}: {e}", data.display()))?;
    import(&system)?;
    note(&format!("the image is kept as {OWN} for next time"));
    Ok(())
}

fn import(system: &Path) -> Outcome {
    let failed = |e: std::io::Error| format!("cannot import the image: {e}");
    let mut tar = Command::new("tar")
        .arg("--directory")
        .arg(system)
        .args(["--exclude=./var/cache/apt", "--exclude=./var/lib/apt/lists"])
        .args(["--exclude=./usr/share/doc"])
        // The package has made a database that nobody uses.
        .args(["--exclude=./var/lib/postgresql/*", "--create", "."])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let stream = tar.stdout.take().ok_or("tar has no output")?;
    let import = Command::new("docker")
        .args(["import", "--change", r#"CMD ["redis-server"]"#])
        // Faster than the container's own layers, and kept as long as the container.
        .args(["--change", "VOLUME /data"])
        .args(["--change", "WORKDIR /data", "-", OWN])
        .stdin(stream)
        .stdout(Stdio::null())
        .status()
        .map_err(failed)?;
    let tar = tar.wait().map_err(failed)?;
    if tar.success() && import.success() {
        Ok(())
    } else {
        Err(format!(
            "cannot import the image: tar {tar}, docker {import}"
        ))
    }
}

/// A folder that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("lock-xtask-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Never into what may still be mounted in there.
        succeeds(
            "rm",
            &["-rf", "--one-file-system", &self.0.to_string_lossy()],
        );
    }
}

const PACKAGES: &str = "--include=redis-server,postgresql-15,pgbouncer,etcd-server";
const PULL: Duration = Duration::from_secs(300);
