//! The receipt of an earlier commit. The rows of that commit are not there any more, so they are computed again: a result at
//! a cut is a function of the log up to it and of the lineage, so what comes out is what the view said then.

use refrain_log::ids::Sequence;
use serde::{Deserialize, Serialize};

use super::chain::chain;
use super::execution::Execution;
use super::make::{ranges, watermark_of};
use super::private::Pace;
use super::prove::Means;
use super::{FORMAT, Lineage, Receipt, rows};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::versions::VersionName;

/// What a version was built from up to an earlier cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    /// The view, as the pipeline file names it.
    pub view: String,
    /// Its version.
    pub version: u32,
    /// The cut.
    pub cut: Sequence,
    /// The chain of nodes, the view's own last.
    pub lineage: Vec<Lineage>,
}

impl Host {
    /// What a version was built from up to a cut that it has passed.
    pub fn earlier(&self, name: &str, version: Option<u32>, cut: Sequence) -> Result<Earlier> {
        let of = self.version_meant(name, version)?;
        let versions = self.versions()?;
        let lineage = chain(&versions, &of, cut)?;
        let views = self.state.views();
        let view = views.iter().find(|v| v.spec().node == of.to_string());
        let view = view.ok_or_else(|| Error::Refused(format!("node {of} keeps no view")))?;
        let last = view.state().cut;
        let first = lineage.last().map_or(Sequence(0), |own| own.after);
        if cut > last || cut <= first {
            return Err(Error::Refused(format!(
                "version {} of view {name} begins after sequence {first} and has committed up to cut {last}: there is no \
                 commit of it at {cut}",
                of.number
            )));
        }
        Ok(Earlier {
            view: VersionName::parse(&view.spec().name).name,
            version: of.number,
            cut,
            lineage,
        })
    }
}

/// Computes the receipt.
///
/// # Errors
/// As of [`super::prove::prove`]; where rows are gone from the log, it cannot be computed.
pub fn receipt(earlier: Earlier, means: &Means<'_>) -> Result<Receipt> {
    let Earlier {
        view,
        version,
        cut,
        lineage,
    } = earlier;
    let ranges = ranges(&means.ground.log, &lineage, cut)?;
    if ranges.gone > 0 {
        return Err(Error::Refused(format!(
            "retention has removed {} rows that version {version} of view {view} had taken up to cut {cut}: its rows cannot \
             be computed again from the log. A receipt of its last commit can be had (without --cut)",
            ranges.gone
        )));
    }
    let mut execution = Execution::begin(&lineage, means, None)?;
    execution.go(&lineage, cut, means, &Pace::new(means.workers, None))?;
    let node = &execution.planned().name;
    let found = execution.private.view(node)?;
    let last = execution.private.state.node(node);
    Ok(Receipt {
        format: FORMAT.to_owned(),
        view,
        version,
        cut,
        watermark: last.as_ref().and_then(watermark_of),
        output: rows::output(&found, found.pages(None, None)?)?,
        rows_gone: 0,
        log: ranges.log,
        lineage,
        seal: String::new(),
    }
    .sealed())
}
