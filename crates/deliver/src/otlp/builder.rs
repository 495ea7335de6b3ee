//! Gathers the spans or log records of one process into batches. Requests of both signals have the same form and field
//! numbers down to the records.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use model::{Resource, Value};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::resource::v1 as proto;
use prost::Message;

use super::encode::{text, varint, varint_size};
use crate::{Batch, Signal};

/// A scope is a pack or a tracer: more than this is nonsense, and is put with the first.
const SCOPE_LIMIT: usize = 256;

/// Which instrumentation scope a span or log record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopeIndex(usize);

/// Spans or log records of one process, waiting to become a batch.
#[derive(Debug)]
pub struct BatchBuilder {
    signal: Signal,
    resource: Arc<Resource>,
    /// Field 1 of `ResourceSpans` or `ResourceLogs`.
    resource_field: Vec<u8>,
    scopes: Vec<Scope>,
    bytes: usize,
    records: u32,
}

#[derive(Debug)]
struct Scope {
    /// Fields 1 (and 3, the schema) of `ScopeSpans` or `ScopeLogs`: what tells scopes apart.
    scope_field: Vec<u8>,
    /// Fields 2 of it, after room for what a batch begins with; nothing while there are none.
    spans: Vec<u8>,
    /// So much room.
    room: usize,
    /// Bytes of the last batch's: the next is often as large.
    last: usize,
}

/// Bytes of a tag and of the longest length after it.
const FIELD_HEAD: usize = 11;

impl BatchBuilder {
    /// For spans of this resource.
    pub fn new(resource: Arc<Resource>) -> Self {
        Self::of(Signal::Traces, resource)
    }

    /// For spans or log records of this resource.
    pub fn of(signal: Signal, resource: Arc<Resource>) -> Self {
        let message = proto::Resource { attributes: attributes(&resource), ..Default::default() };
        let mut resource_field = Vec::new();
        text(&mut resource_field, 0x0a, &message.encode_to_vec());
        Self::of_encoded(signal, resource, resource_field)
    }

    /// For spans or log records that were read from a request: `resource_field` is what stands before the scopes in their
    /// `ResourceSpans` or `ResourceLogs`.
    pub fn of_encoded(signal: Signal, resource: Arc<Resource>, resource_field: Vec<u8>) -> Self {
        Self { signal, resource, resource_field, scopes: Vec::new(), bytes: 0, records: 0 }
    }

    /// What they come from.
    pub fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// Finds or makes an instrumentation scope.
    pub fn scope(&mut self, name: &str, version: &str, schema_url: &str) -> ScopeIndex {
        let message = InstrumentationScope { name: name.to_owned(), version: version.to_owned(), ..Default::default() };
        let mut scope_field = Vec::new();
        text(&mut scope_field, 0x0a, &message.encode_to_vec());
        if !schema_url.is_empty() {
            text(&mut scope_field, 0x1a, schema_url.as_bytes());
        }
        self.encoded_scope(&scope_field).unwrap_or(ScopeIndex(0))
    }

    /// Finds or makes an instrumentation scope by what stands before the spans in their `ScopeSpans` (or log records in
    /// their `ScopeLogs`). `None`: there is no room for another one.
    pub fn encoded_scope(&mut self, scope_field: &[u8]) -> Option<ScopeIndex> {
        if let Some(index) = self.scopes.iter().position(|scope| scope.scope_field == scope_field) {
            return Some(ScopeIndex(index));
        }
        if self.scopes.len() >= SCOPE_LIMIT {
            return None;
        }
        let room = self.resource_field.len() + scope_field.len() + 2 * FIELD_HEAD;
        self.scopes.push(Scope { scope_field: scope_field.to_vec(), spans: Vec::new(), room, last: 0 });
        Some(ScopeIndex(self.scopes.len() - 1))
    }

    /// Lets `write` append one span or log record to a scope.
    #[inline]
    pub fn add(&mut self, scope: ScopeIndex, write: impl FnOnce(&mut Vec<u8>)) {
        let Scope { spans, room, last, .. } = &mut self.scopes[scope.0];
        if spans.is_empty() {
            *spans = memory(*last + *last / 8);
            spans.resize(*room, 0);
        }
        let before = spans.len();
        write(spans);
        self.bytes += spans.len() - before;
        self.records += 1;
    }

    /// The same, where what was appended may turn out not to be wanted: then `write` says so.
    #[inline]
    pub fn add_if(&mut self, scope: ScopeIndex, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let mut before = 0;
        let mut is_wanted = false;
        self.add(scope, |spans| {
            before = spans.len();
            is_wanted = write(spans);
        });
        if !is_wanted {
            let Scope { spans, room, .. } = &mut self.scopes[scope.0];
            self.bytes -= spans.len() - before;
            self.records -= 1;
            spans.truncate(before);
            if before == *room {
                drop(Buffer(std::mem::take(spans))); // there is nothing in this scope yet
            }
        }
    }

    /// Bytes of what waits.
    pub fn size(&self) -> usize {
        self.bytes
    }

    /// What has been gathered; `None` when there is nothing.
    pub fn take(&mut self) -> Option<Batch> {
        if self.records == 0 {
            return None;
        }
        let base = (0..self.scopes.len()).max_by_key(|&index| self.scopes[index].spans.len())?;
        let mut bytes = std::mem::take(&mut self.scopes[base].spans);
        let Scope { scope_field, room, .. } = &self.scopes[base];
        let (room, base_size) = (*room, scope_field.len() + bytes.len() - *room);
        // The spans of the other scopes go behind those of the largest, which stay where they are.
        let spans_of = |scope: &Scope| scope.spans.get(scope.room..).map_or(0, <[u8]>::len);
        let others = || self.scopes.iter().filter(|scope| !scope.spans.is_empty());
        let field_size = |size: usize| 1 + varint_size(size as u64) + size;
        let size = self.resource_field.len()
            + field_size(base_size)
            + others().map(|scope| field_size(scope.scope_field.len() + spans_of(scope))).sum::<usize>();
        let mut head = Vec::with_capacity(room);
        head.push(0x0a);
        varint(&mut head, size as u64);
        head.extend_from_slice(&self.resource_field);
        head.push(0x12);
        varint(&mut head, base_size as u64);
        head.extend_from_slice(scope_field);
        let start = room - head.len();
        bytes[start..room].copy_from_slice(&head);
        for scope in others() {
            bytes.push(0x12);
            varint(&mut bytes, (scope.scope_field.len() + spans_of(scope)) as u64);
            bytes.extend_from_slice(&scope.scope_field);
            bytes.extend_from_slice(&scope.spans[scope.room..]);
        }
        self.scopes[base].last = bytes.len();
        self.scopes.iter_mut().filter(|scope| !scope.spans.is_empty()).for_each(|scope| {
            scope.last = scope.spans.len();
            drop(Buffer(std::mem::take(&mut scope.spans)));
        });
        self.bytes = 0;
        let records = std::mem::take(&mut self.records);
        let bytes = Bytes::from_owner(Buffer(bytes)).slice(start..);
        Some(Batch { signal: self.signal, resource: Arc::clone(&self.resource), bytes, records })
    }
}

/// Memory of a batch, which others fill. It is used again: fresh memory costs a page fault every 4 KiB, which is as much as all the rest.
pub(super) struct Buffer(pub(super) Vec<u8>);

/// Buffers that wait to be used again: at most so many, none larger than that.
static BUFFERS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
const BUFFER_COUNT: usize = 32;
const BUFFER_BYTES: usize = 256 * 1024;

/// Memory for a batch of so many bytes, used where there is some. While others hold many batches there is none, and what
/// grew from nothing would be copied each time, into ever more pages that are fresh as well.
pub(super) fn memory(expected: usize) -> Vec<u8> {
    let mut memory = BUFFERS.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
    memory.clear();
    memory.reserve(expected);
    memory
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut buffers = BUFFERS.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < BUFFER_COUNT && self.0.capacity() <= BUFFER_BYTES {
            buffers.push(std::mem::take(&mut self.0));
        }
    }
}

/// A resource's attributes in OTLP's form.
pub fn attributes(resource: &Resource) -> Vec<KeyValue> {
    key_values(&resource.attributes)
}

fn key_values<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a Value)>) -> Vec<KeyValue> {
    pairs
        .into_iter()
        .map(|(key, value)| KeyValue { key: key.clone(), value: Some(any_value(value)), ..Default::default() })
        .collect()
}

/// A value in OTLP's form.
pub fn any_value(value: &Value) -> AnyValue {
    let value = match value {
        Value::Bool(flag) => any_value::Value::BoolValue(*flag),
        Value::Int(number) => any_value::Value::IntValue(*number),
        Value::Float(number) => any_value::Value::DoubleValue(*number),
        Value::String(text) => any_value::Value::StringValue(text.clone()),
        Value::Array(values) => {
            any_value::Value::ArrayValue(ArrayValue { values: values.iter().map(any_value).collect() })
        }
        Value::Map(values) => any_value::Value::KvlistValue(KeyValueList { values: key_values(values) }),
    };
    AnyValue { value: Some(value) }
}
