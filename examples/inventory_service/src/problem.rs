//! What went wrong, as an answer: a status, a sentence, and whether anything was changed.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use distributed_mutex::{Effect, Error, ErrorKind};
use serde::Serialize;

use crate::inventory::{Failure, SKUS_MAX};
use crate::item::Refused;

/// An answer that is not the wanted one.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    told: Told,
}

#[derive(Debug, Serialize)]
struct Told {
    error: String,
    /// `nothing changed` or `unknown`.
    outcome: &'static str,
}

/// The caller should come back after so many seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

impl Problem {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        let told = Told {
            error: error.into(),
            outcome: "nothing changed",
        };
        Self { status, told }
    }

    /// What was sent is not what it must be.
    pub(crate) fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing under this path")
    }

    pub(crate) fn wrong_method() -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, "this path does not know this method")
    }

    fn unknown() -> Self {
        let mut problem = Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "the store did not say whether it was done; send the same request again, and it will be \
             done once",
        );
        problem.told.outcome = "unknown";
        problem
    }

    /// Nothing was written.
    fn of_lock(error: &Error) -> Self {
        let come_back = |why| Self::new(StatusCode::SERVICE_UNAVAILABLE, why);
        match error.kind() {
            ErrorKind::Timeout => come_back("others were busy with it for too long"),
            ErrorKind::LeaseLost => come_back("the lock was lost before anything was written"),
            ErrorKind::Unavailable => come_back("the store does not answer"),
            ErrorKind::Closed => come_back("this process is ending"),
            ErrorKind::Aborted
            | ErrorKind::Denied
            | ErrorKind::Internal
            | ErrorKind::Invalid
            | ErrorKind::State
            | ErrorKind::Unsupported
            | _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "this service is at fault; its log says why",
            ),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        // The service's log has the whole of it; the caller is told what to do.
        if let Failure::Before(error) | Failure::Commit(error) = &failure {
            tracing::warn!(error = with_causes(error), "a request failed");
        }
        match failure {
            Failure::Commit(error) if error.effect() == Effect::Unknown => Self::unknown(),
            Failure::Before(error) | Failure::Commit(error) => Self::of_lock(&error),
            Failure::Refused(refused) => Self::new(
                match refused {
                    Refused::NoReservation | Refused::NoSku => StatusCode::NOT_FOUND,
                    Refused::Returned => StatusCode::GONE,
                    Refused::Conflict | Refused::Full | Refused::NotEnough { .. } => {
                        StatusCode::CONFLICT
                    }
                },
                refused.to_string(),
            ),
            Failure::TooManySkus => Self::new(
                StatusCode::CONFLICT,
                format!("there are {SKUS_MAX} SKUs, and no more are kept"),
            ),
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.told)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            drop(
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, RETRY_AFTER),
            );
        }
        response
    }
}

/// The whole chain of what went wrong.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
