//! `GET /metrics`: the library's figures for Prometheus.

use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use distributed_mutex::BoxError;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

/// The same paths and the page, from now on in the life of the process.
pub(crate) fn with_page(router: Router) -> Result<Router, BoxError> {
    // Without buckets the exporter makes summaries, whose quantiles cannot be added up over processes.
    let figures = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets(NUMBERS)?
        .install_recorder()?;
    let upkeep = figures.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            upkeep.run_upkeep();
        }
    });
    let page = async move || {
        (
            [(CONTENT_TYPE, "text/plain; version=0.0.4")],
            figures.render(),
        )
    };
    Ok(router.route("/metrics", get(page)))
}

/// From a free lock on a near store to the default ttl and beyond.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Of waiters, of updates in a commit and of leases in a batch, which has 256 at most.
const NUMBERS: &[f64] = &[
    0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

/// So often what was recorded goes into the buckets, also if nobody fetches the page.
const UPKEEP: Duration = Duration::from_secs(5);
