//! Figures of audits: of each version that was ever audited.

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use refrain_engine::receipt::audits::{AuditStanding, Verdict};
use refrain_log::ids::Timestamp;

/// Name, help, unit, and what it is of an audit at a moment; none: it has none.
type Figure = (
    &'static str,
    &'static str,
    Option<Unit>,
    fn(&AuditStanding, Timestamp) -> Option<f64>,
);

/// Writes them down, as of a moment.
pub(super) fn encode(
    audits: &[AuditStanding],
    now: Timestamp,
    encoder: &mut DescriptorEncoder,
) -> Result<(), Error> {
    let gauges: [Figure; 4] = [
        (
            "audit_ok",
            "1: the last round of the audit that decided found the view equal to what log and components give; 0: it did not",
            None,
            |a, _| (a.verdict != Verdict::Undecided).then(|| f64::from(u8::from(!a.is_failed()))),
        ),
        (
            "audit_undecided",
            "1: the last round of the audit could not decide",
            None,
            |a, _| Some(f64::from(u8::from(a.undecided.is_some()))),
        ),
        (
            "audit_equal_sequence",
            "Greatest cut at which an audit found all equal",
            None,
            |a, _| Some(a.equal_cut.0 as f64),
        ),
        (
            "audit_age",
            "Time since an audit found all equal",
            Some(Unit::Seconds),
            |a, now| Some(now.0.saturating_sub(a.equal_at?.0).max(0) as f64 / 1e6),
        ),
    ];
    for (name, help, unit, of) in gauges {
        let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for audit in audits {
            if let Some(value) = of(audit, now) {
                let version = audit.version.to_string();
                let labels = [("view", audit.view.as_str()), ("version", version.as_str())];
                family.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
    }
    let help = "Rounds of the audit that found a difference or damage";
    let mut family =
        encoder.encode_descriptor("audit_failures", help, None, MetricType::Counter)?;
    for audit in audits {
        let version = audit.version.to_string();
        let labels = [("view", audit.view.as_str()), ("version", version.as_str())];
        family
            .encode_family(&labels)?
            .encode_counter::<NoLabelSet, u64, u64>(&audit.failures, None)?;
    }
    Ok(())
}
