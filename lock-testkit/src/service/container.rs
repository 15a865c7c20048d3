//! [`Container`]: a server in a container of its own.
//!
//! On Linux it shares the host's network and listens on its loopback interface: servers then reach
//! each other, and the proxies of a test, under the addresses that the test uses. Elsewhere a
//! container has no loopback interface in common with the test, so the ports are published there,
//! under equal numbers; replicas and clusters then need local processes.

use std::time::Duration;

use testcontainers::bollard::query_parameters::KillContainerOptionsBuilder;
use testcontainers::core::client::docker_client_instance;
use testcontainers::core::{CmdWaitFor, ExecCommand, IntoContainerPort};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt};

use super::guard::Guard;
use super::provider::{Data, Launch, fill_file};
use crate::SetupError;

pub(super) struct Container {
    image: String,
    launch: Launch,
    /// The guard goes first; `None` only in drop.
    running: Option<(Guard, ContainerAsync<GenericImage>)>,
    paused: bool,
}

/// Whether servers in containers listen on the test's own loopback interface.
pub(super) const HOST_NETWORK: bool = cfg!(target_os = "linux");

/// How often a pause is asked for before it is given up.
const PAUSES_MAX: usize = 20;

/// How long a container is left to its processes before it is paused again.
const PAUSE_RETRY: Duration = Duration::from_millis(50);

/// The first of the images that the engine has.
pub(super) async fn first_present(images: &[&str]) -> Result<String, SetupError> {
    let docker = docker_client_instance()
        .await
        .map_err(|e| SetupError::new("there is no container engine").with_source(e))?;
    docker
        .ping()
        .await
        .map_err(|e| SetupError::new("no container engine answers").with_source(e))?;
    for image in images {
        if docker.inspect_image(image).await.is_ok() {
            return Ok((*image).to_owned());
        }
    }
    Err(SetupError::new(format!(
        "the container engine has none of the images {}",
        images.join(", ")
    )))
}

impl Container {
    pub(super) async fn launch(image: String, launch: Launch) -> Result<Self, SetupError> {
        let running = Some(create(&image, &launch).await?);
        Ok(Self {
            image,
            launch,
            running,
            paused: false,
        })
    }

    pub(super) async fn pause(&mut self) -> Result<(), SetupError> {
        // A container that starts processes just then may escape the freezer ("unable to freeze"), and
        // is left running: ask again.
        for attempt in 1.. {
            match self.inner()?.pause().await {
                Ok(()) => break,
                Err(e) if attempt == PAUSES_MAX => {
                    return Err(SetupError::new("cannot pause the container").with_source(e));
                }
                Err(_) => pause_for(PAUSE_RETRY).await,
            }
        }
        self.paused = true;
        Ok(())
    }

    pub(super) async fn unpause(&mut self) -> Result<(), SetupError> {
        let outcome = self.inner()?.unpause().await;
        outcome.map_err(|e| SetupError::new("cannot unpause the container").with_source(e))?;
        self.paused = false;
        Ok(())
    }

    pub(super) async fn kill(&mut self) -> Result<(), SetupError> {
        let failed = "cannot kill the container";
        let id = self.inner()?.id().to_owned();
        let docker = docker_client_instance()
            .await
            .map_err(|e| SetupError::new(failed).with_source(e))?;
        if self.paused {
            // Engines refuse to kill what is paused.
            self.unpause().await?;
        }
        let kill = KillContainerOptionsBuilder::new().signal("KILL").build();
        let outcome = docker.kill_container(&id, Some(kill)).await;
        // The engine answers once the signal is sent; the end follows.
        for _ in 0..END_POLLS_MAX {
            if self.has_exited().await {
                return Ok(());
            }
            pause_for(END_POLL).await;
        }
        Err(match outcome {
            Ok(()) => SetupError::new(failed),
            Err(e) => SetupError::new(failed).with_source(e),
        })
    }

    pub(super) async fn start(&mut self, data: Data) -> Result<(), SetupError> {
        match data {
            Data::Discard => {
                self.remove();
                self.running = Some(create(&self.image, &self.launch).await?);
                Ok(())
            }
            Data::Keep => self
                .inner()?
                .start()
                .await
                .map_err(|e| SetupError::new("cannot start the container again").with_source(e)),
        }
    }

    pub(super) async fn rewrite(&mut self, name: &str, content: &[u8]) -> Result<(), SetupError> {
        self.launch.rewrite(name, content);
        let octal: String = content.iter().map(|byte| format!("\\{byte:03o}")).collect();
        // Opened for reading too, so that it is not cut short first.
        let script = format!("printf '{octal}' 1<>{FILES}/{name}");
        let command = ExecCommand::new(["sh", "-c", &script])
            .with_cmd_ready_condition(CmdWaitFor::exit_code(0));
        let outcome = self.inner()?.exec(command).await;
        outcome
            .map(drop)
            .map_err(|e| SetupError::new("cannot change a file of the container").with_source(e))
    }

    pub(super) async fn has_exited(&self) -> bool {
        match self.inner() {
            Ok(container) => !container.is_running().await.unwrap_or(true),
            Err(_) => true,
        }
    }

    pub(super) async fn log(&self) -> String {
        let Ok(container) = self.inner() else {
            return String::new();
        };
        let mut bytes = container.stdout_to_vec().await.unwrap_or_default();
        bytes.extend(container.stderr_to_vec().await.unwrap_or_default());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn inner(&self) -> Result<&ContainerAsync<GenericImage>, SetupError> {
        let running = self.running.as_ref();
        running
            .map(|(_, container)| container)
            .ok_or_else(|| SetupError::new("the container is gone"))
    }

    /// Removes the container, also outside a runtime.
    fn remove(&mut self) {
        let Some((guard, container)) = self.running.take() else {
            return;
        };
        // The container's own drop needs a runtime.
        if tokio::runtime::Handle::try_current().is_ok() {
            drop(container);
        } else if let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            runtime.block_on(async { drop(container) });
        } else {
            leave_to_guard((guard, container));
            return;
        }
        drop(guard);
    }
}

/// Keeps the guard alive, which removes the container at the end of this process.
#[expect(clippy::mem_forget, reason = "the container's drop would panic here")]
fn leave_to_guard(running: (Guard, ContainerAsync<GenericImage>)) {
    std::mem::forget(running);
}

async fn create(
    image: &str,
    launch: &Launch,
) -> Result<(Guard, ContainerAsync<GenericImage>), SetupError> {
    let fill = |text: &str| text.replace("{files}", FILES).replace("{data}", DATA);
    let (name, tag) = match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    };
    let mut request: ContainerRequest<_> = GenericImage::new(name, tag)
        .with_startup_timeout(STARTUP)
        .with_cmd(launch.words(launch.program, &fill));
    for (file, content) in &launch.files {
        request = request.with_copy_to(format!("{FILES}/{file}"), fill_file(content, &fill));
    }
    for (name, value) in &launch.environment {
        request = request.with_env_var(*name, fill(value));
    }
    if HOST_NETWORK {
        request = request.with_network("host");
    } else {
        for port in &launch.ports {
            request = request.with_mapped_port(*port, port.tcp());
        }
    }
    let container = request.start().await.map_err(|e| {
        SetupError::new(format!("cannot run a container of {image}")).with_source(e)
    })?;
    let guard = Guard::new(r#"docker rm --force --volumes "$1""#, &[container.id()]);
    Ok((guard, container))
}

impl Drop for Container {
    fn drop(&mut self) {
        self.remove();
    }
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container")
            .field("image", &self.image)
            .field("paused", &self.paused)
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a real engine is polled in real time"
)]
async fn pause_for(length: Duration) {
    tokio::time::sleep(length).await;
}

const FILES: &str = "/lock-testkit";
/// The working folder of the official image, which its own user may write to.
const DATA: &str = "/data";
const STARTUP: Duration = Duration::from_secs(30);
const END_POLL: Duration = Duration::from_millis(5);
const END_POLLS_MAX: u32 = 1000;
