//! Steps, durations and rhythms as findings write them.

use crate::pipeline::units::duration_text;
use crate::tiers::planner::{Step, period_below};
use crate::tiers::words::span;

/// `delays (waits 30s, takes 1s)`
pub(super) fn shown(step: &Step) -> String {
    match step.wait_us {
        Some(0) if step.took_us == 0 => step.name.clone(),
        wait => format!(
            "{} (waits {}, takes {})",
            step.name,
            wait.map_or("for ever".into(), span),
            span(step.took_us)
        ),
    }
}

/// A duration as a pipeline file writes it, not longer than `us`.
pub(super) fn compact(us: i64) -> String {
    let step = [
        86_400_000_000,
        3_600_000_000,
        60_000_000,
        1_000_000,
        1_000,
        1,
    ];
    let size = step
        .into_iter()
        .find(|s| us >= *s && us - us % s >= us / 10 * 9);
    let size = size.unwrap_or(1);
    duration_text(us - us % size)
}

/// A duration as a pipeline file writes it, not shorter than `us`.
pub(super) fn compact_up(us: i64) -> String {
    let step = [3_600_000_000, 60_000_000, 1_000_000, 1_000, 1];
    let size = step.into_iter().find(|s| us >= s * 10).unwrap_or(1);
    duration_text((us + size - 1) / size * size)
}

/// A rhythm as the planner would choose it, not longer than `us`.
pub(super) fn every(us: i64) -> String {
    match period_below(us) {
        Some(period) => format!("every {}", compact(period)),
        None => "continuous".into(),
    }
}
