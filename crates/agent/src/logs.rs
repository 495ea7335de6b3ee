//! Log records on their way from the rings to a batch. One assembler a program; it believes nothing.

use std::sync::Arc;

use deliver::otlp::builder::{BatchBuilder, ScopeIndex};
use deliver::otlp::encode::ClockOffset;
use deliver::otlp::logs::LogEncoder;
use deliver::{Batch, Signal};
use model::Resource;
use record::{LogRecord, RecordError, Tables};

use crate::assemble::Faults;

/// Makes the log records of one program.
#[derive(Debug)]
pub struct LogAssembler {
    tables: Tables,
    tandem_version: String,
    /// The scopes of libraries, by the numbers of the operations that stand for them.
    scopes: Vec<Option<ScopeIndex>>,
    builder: BatchBuilder,
    encoder: LogEncoder,
    faults: Faults,
}

impl LogAssembler {
    /// For the log records of one program.
    pub fn new(tables: Tables, resource: Arc<Resource>, tandem_version: &str) -> Self {
        Self {
            tables,
            tandem_version: tandem_version.to_owned(),
            scopes: Vec::new(),
            builder: BatchBuilder::of(Signal::Logs, resource),
            encoder: LogEncoder::default(),
            faults: Faults::new(),
        }
    }

    /// Takes one record. `false`: it makes no sense, and that has been counted.
    pub fn record(&mut self, bytes: &[u8], clock: ClockOffset) -> bool {
        let log = match LogRecord::parse(bytes) {
            Ok(log) => log,
            Err(RecordError::Size) => return self.fault("record_size"),
            Err(RecordError::Kind | RecordError::Id) => return self.fault("record_kind"),
        };
        let Some(scope) = self.scope(log.descriptor()) else { return self.fault("unknown_operation") };
        let Self { builder, encoder, .. } = self;
        let mut malformed = false;
        builder.add(scope, |out| malformed = encoder.encode(out, &log, clock).malformed_items);
        if malformed {
            self.fault("malformed_items");
        }
        true
    }

    fn scope(&mut self, descriptor: u32) -> Option<ScopeIndex> {
        if let Some(Some(scope)) = self.scopes.get(descriptor as usize) {
            return Some(*scope);
        }
        if descriptor >= self.tables.descriptor_limit() {
            return None; // a function that was woven dormant logs nothing
        }
        let found = self.tables.descriptor(descriptor)?;
        let (version, schema_url) = found.made_by(&self.tandem_version);
        let scope = self.builder.scope(&found.scope, version, schema_url);
        let index = descriptor as usize; // below the table's capacity
        if index >= self.scopes.len() {
            self.scopes.resize(index + 1, None);
        }
        self.scopes[index] = Some(scope);
        Some(scope)
    }

    /// Bytes of the records that wait to become a batch.
    pub fn waiting(&self) -> usize {
        self.builder.size()
    }

    /// The records so far.
    pub fn take(&mut self) -> Option<Batch> {
        self.builder.take()
    }

    /// What was wrong since the last call.
    pub fn take_faults(&mut self) -> Faults {
        std::mem::take(&mut self.faults)
    }

    fn fault(&mut self, cause: &'static str) -> bool {
        *self.faults.entry(cause).or_default() += 1;
        false
    }
}
