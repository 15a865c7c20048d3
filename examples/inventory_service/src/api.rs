//! The paths of the service, and the bounds of what they take.

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::inventory::{Failure, Inventory};
use crate::item::Done;
use crate::problem::Problem;

/// All paths.
pub(crate) fn router(inventory: Inventory) -> Router {
    let reservation = put(reserve).get(reservation).delete(give_back);
    Router::new()
        .route("/health", get(health))
        .route("/skus", get(list))
        .route("/skus/{sku}", put(create).get(item))
        .route("/skus/{sku}/reservations/{id}", reservation)
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::wrong_method())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(inventory)
}

/// A body is one number with its name.
const BODY_BYTES_MAX: usize = 1024;
/// Of a SKU and of an id: they are part of names and of values in the store.
const WORD_BYTES_MAX: usize = 64;
const UNITS_MAX: u32 = 1_000_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Units {
    units: u32,
}

type Body = Result<Json<Units>, JsonRejection>;

#[derive(Debug, Serialize)]
struct Stock {
    sku: String,
    units: u32,
    left: u32,
}

#[derive(Debug, Serialize)]
struct Reservation {
    sku: String,
    id: String,
    units: u32,
    /// Of the SKU, just after this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Left {
    sku: String,
    left: u32,
}

#[derive(Debug, Serialize)]
struct Skus {
    skus: Vec<String>,
}

type Answer<T> = Result<(StatusCode, Json<T>), Problem>;

async fn health(State(inventory): State<Inventory>) -> Result<&'static str, Problem> {
    inventory.is_ready().await.map_err(Failure::Before)?;
    Ok("ready\n")
}

async fn list(State(inventory): State<Inventory>) -> Answer<Skus> {
    let skus = inventory.list().await?.into_iter().collect();
    Ok((StatusCode::OK, Json(Skus { skus })))
}

async fn create(
    State(inventory): State<Inventory>,
    Path(sku): Path<String>,
    body: Body,
) -> Answer<Stock> {
    let units = checked_units(body)?;
    let (done, left) = inventory.create(checked_word("SKU", &sku)?, units).await?;
    Ok((status(done), Json(Stock { sku, units, left })))
}

async fn item(State(inventory): State<Inventory>, Path(sku): Path<String>) -> Answer<Stock> {
    let item = inventory.item(checked_word("SKU", &sku)?).await?;
    let (units, left) = (item.units(), item.left());
    Ok((StatusCode::OK, Json(Stock { sku, units, left })))
}

async fn reserve(
    State(inventory): State<Inventory>,
    Path((sku, id)): Path<(String, String)>,
    body: Body,
) -> Answer<Reservation> {
    let units = checked_units(body)?;
    let (name, word) = (checked_word("SKU", &sku)?, checked_word("id", &id)?);
    let (done, left) = inventory.reserve(name, word, units).await?;
    let left = Some(left);
    let reservation = Reservation {
        sku,
        id,
        units,
        left,
    };
    Ok((status(done), Json(reservation)))
}

async fn reservation(
    State(inventory): State<Inventory>,
    Path((sku, id)): Path<(String, String)>,
) -> Answer<Reservation> {
    let item = inventory.item(checked_word("SKU", &sku)?).await?;
    let units = item.reserved(checked_word("id", &id)?);
    let units = units.map_err(Failure::Refused)?;
    let reservation = Reservation {
        sku,
        id,
        units,
        left: None,
    };
    Ok((StatusCode::OK, Json(reservation)))
}

async fn give_back(
    State(inventory): State<Inventory>,
    Path((sku, id)): Path<(String, String)>,
) -> Answer<Left> {
    let (name, word) = (checked_word("SKU", &sku)?, checked_word("id", &id)?);
    let (_done, left) = inventory.give_back(name, word).await?;
    Ok((StatusCode::OK, Json(Left { sku, left })))
}

const fn status(done: Done) -> StatusCode {
    match done {
        Done::Before => StatusCode::OK,
        Done::Now => StatusCode::CREATED,
    }
}

fn checked_word<'a>(what: &str, word: &'a str) -> Result<&'a str, Problem> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if word.is_empty() || word.len() > WORD_BYTES_MAX || !word.bytes().all(fits) {
        return Err(Problem::bad_request(format!(
            "the {what} has 1 to {WORD_BYTES_MAX} letters, digits, '-', '_' and '.', all ASCII"
        )));
    }
    Ok(word)
}

fn checked_units(body: Body) -> Result<u32, Problem> {
    let units = body?.units;
    if !(1..=UNITS_MAX).contains(&units) {
        return Err(Problem::bad_request(format!(
            "units lie between 1 and {UNITS_MAX}"
        )));
    }
    Ok(units)
}
