//! Rows on their way into a topic: several batches under way at once, acknowledged in order.

use std::collections::VecDeque;

use refrain_engine::ingest::Decoded;
use refrain_engine::request::{Request, Response, Table};
use refrain_log::log::{Appended, Pending};
use refrain_log::schema::Schema;

use crate::failure::Failure;
use crate::link::{Link, accepted, unexpected};

/// Batches under way at once.
const UNDER_WAY_MAX: usize = 6;

/// An append of many batches.
pub(crate) struct Feed<'a> {
    link: &'a mut Link,
    topic: String,
    schema: Schema,
    producer: Option<String>,
    under_way: VecDeque<UnderWay>,
    /// What has been acknowledged.
    pub(crate) appended: Appended,
    /// All input rows up to this one are acknowledged.
    pub(crate) acknowledged_row: u64,
}

struct UnderWay {
    /// Input row number of its last row.
    last_row: u64,
    /// None: its answer comes over the socket.
    pending: Option<Pending>,
}

impl<'a> Feed<'a> {
    pub(crate) fn new(
        link: &'a mut Link,
        topic: &str,
        schema: Schema,
        producer: Option<String>,
    ) -> Self {
        Self {
            link,
            topic: topic.into(),
            schema,
            producer,
            under_way: VecDeque::new(),
            appended: Appended::default(),
            acknowledged_row: 0,
        }
    }

    /// Sends a batch; waits only when many are under way.
    pub(crate) fn send(
        &mut self,
        input: &str,
        decoded: Decoded,
        decode_ns: u64,
    ) -> Result<(), Failure> {
        let Some((first, last)) = row_span(&decoded) else {
            return Ok(());
        };
        while self.under_way.len() >= UNDER_WAY_MAX {
            self.receive()?;
        }
        let request = Request::Append {
            topic: self.topic.clone(),
            rows: Table {
                schema: self.schema.clone(),
                rows: decoded.rows,
            },
            row_numbers: decoded.row_numbers,
            input: input.into(),
            undecoded: decoded.undecoded,
            producer: self.producer.clone().map(|name| (name, first)),
            decode_ns,
        };
        let pending = match &mut self.link {
            Link::Own(host) => Some(host.submit(request)?),
            Link::Other(client) => {
                client.send(request)?;
                None
            }
        };
        self.under_way.push_back(UnderWay {
            last_row: last,
            pending,
        });
        Ok(())
    }

    /// Waits for everything under way.
    pub(crate) fn settle(&mut self) -> Result<(), Failure> {
        while !self.under_way.is_empty() {
            self.receive()?;
        }
        Ok(())
    }

    /// Waits for the oldest batch.
    fn receive(&mut self) -> Result<(), Failure> {
        let Some(batch) = self.under_way.pop_front() else {
            return Ok(());
        };
        let appended = match (batch.pending, &mut *self.link) {
            (Some(pending), _) => pending.wait().map_err(refrain_engine::Error::from)?,
            (None, Link::Other(client)) => match accepted(client.receive()?)? {
                Response::Appended(appended) => appended,
                _ => return Err(unexpected()),
            },
            (None, Link::Own(_)) => return Err(unexpected()),
        };
        self.appended.rows += appended.rows;
        self.appended.duplicates += appended.duplicates;
        self.appended.rejected += appended.rejected;
        self.appended.sequence = self.appended.sequence.max(appended.sequence);
        self.acknowledged_row = batch.last_row;
        Ok(())
    }
}

/// First and last input row number of a batch.
fn row_span(decoded: &Decoded) -> Option<(u64, u64)> {
    let numbers = || {
        let good = decoded
            .row_numbers
            .first()
            .into_iter()
            .chain(decoded.row_numbers.last());
        let bad = decoded
            .undecoded
            .first()
            .into_iter()
            .chain(decoded.undecoded.last());
        good.copied().chain(bad.map(|u| u.row))
    };
    Some((numbers().min()?, numbers().max()?))
}
