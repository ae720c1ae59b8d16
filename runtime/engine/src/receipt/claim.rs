//! What a version of a view says that it is: the side of the host in an audit. It says nothing of the log, which the one
//! who audits reads for himself.

use refrain_log::ids::{Sequence, Timestamp};
use serde::{Deserialize, Serialize};

use super::audits::file_name;
use super::chain::chain;
use super::make::watermark_of;
use super::sample::{Sample, Sampled};
use super::{Lineage, Output, Receipt, rows};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::versions::VersionName;
use crate::workers::step_back;

/// What is to be audited.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimOrder {
    /// View, node or topic.
    pub name: String,
    /// The version; none: the live one.
    pub version: Option<u32>,
    /// Only these keys, where the node is a fold; none: all.
    pub sample: Option<Sample>,
}

/// A version of a view at its last commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The view, as the pipeline file names it.
    pub view: String,
    /// Its version.
    pub version: u32,
    /// The cut of the commit.
    pub cut: Sequence,
    /// The node's watermark; none: it has none.
    pub watermark: Option<Timestamp>,
    /// The chain of nodes, the view's own last.
    pub lineage: Vec<Lineage>,
    /// The rows.
    pub said: Said,
    /// The receipt of the last audit that found all rows equal.
    pub receipt: Option<Box<Receipt>>,
}

/// What is said of the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Said {
    /// Of all.
    Whole(Output),
    /// Of those whose key is in a sample.
    Sampled(Sample, Sampled),
}

impl Said {
    /// Which keys; none: all.
    pub fn sample(&self) -> Option<Sample> {
        match self {
            Said::Whole(_) => None,
            Said::Sampled(sample, _) => Some(*sample),
        }
    }
}

impl Host {
    /// What a version says of itself at its last commit. Looks at all its rows, behind everything else that wants a
    /// processor.
    pub fn claim(&self, order: &ClaimOrder) -> Result<Claim> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("claim".into());
            let thread = thread.spawn_scoped(scope, || {
                step_back();
                self.claim_here(order)
            });
            let claimed = thread.expect("threads can be started").join();
            claimed.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn claim_here(&self, order: &ClaimOrder) -> Result<Claim> {
        let of = self.version_meant(&order.name, order.version)?;
        let pinned = self.pin(&of)?;
        let (last, cut) = (&pinned.last, pinned.last.cut);
        let lineage = chain(&pinned.versions, &of, cut)?;
        let view = VersionName::parse(&pinned.view.spec().name).name;
        let planned = match lineage.last().and_then(|node| node.builds.last()) {
            Some(build) => build.planned()?,
            None => return Err(Error::Refused(format!("node {of} has no lineage"))),
        };
        let said = match order.sample.filter(|_| Sample::fits(&planned)) {
            None => Said::Whole(rows::output(&pinned.view, pinned.pages)?),
            Some(sample) => {
                let sampled = sample.of_view(&planned, &pinned.view, pinned.pages)?;
                Said::Sampled(sample, sampled)
            }
        };
        Ok(Claim {
            cut,
            watermark: watermark_of(last),
            lineage,
            said,
            receipt: self.audits().receipt(&file_name(&view, of.number)),
            view,
            version: of.number,
        })
    }
}
