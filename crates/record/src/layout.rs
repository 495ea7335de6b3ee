//! The specification of the shared memory, the only place where it is written down.
//!
//! Everything else is derived from the tables in this file: the Rust reader takes its offsets from them at compile time
//! ([`Struct::at`]), `generate` writes the Go side (`go/rt/layout.go`) and the C side (`crates/probe/src/bpf/record.h`)
//! out of them, and `docs/record.md` shows them. All integers are little-endian and naturally aligned; all times are
//! nanoseconds of `CLOCK_MONOTONIC`.
//!
//! A change that an older reader would misread raises [`LAYOUT_VERSION`]; fields and keys are otherwise only appended.

/// First eight bytes of the file: `TANDEM` and two zero bytes. Written last, so that a half-made file is not a file.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TANDEM\0\0");
/// Version of this layout. A reader accepts this one and the two before it.
pub const LAYOUT_VERSION: u32 = 2;
/// Name of the memfd, as seen in `/proc/PID/fd`: `/memfd:tandem (deleted)`. It is made with `MFD_ALLOW_SEALING`; an agent
/// seals it against shrinking before it maps it, and refuses one that it cannot seal.
pub const MEMFD_NAME: &str = "tandem";

/// Size of a page of the file's fixed head.
pub const PAGE: usize = 4096;
/// Bytes of one entry of the in-flight table: the largest record there is.
pub const ENTRY_SIZE: usize = 2048;
/// Largest record in a ring: one that outgrew its entry. Its entry keeps what it held until then.
pub const RECORD_LIMIT: usize = 32 * 1024;
/// Entries of the in-flight table (spans that may be unfinished at once and survive a crash).
pub const ENTRY_COUNT: usize = 8192;
/// Default size of one ring in bytes; a power of two.
pub const RING_SIZE: usize = 1 << 20;
/// Operation descriptors a program can register.
pub const DESCRIPTOR_COUNT: usize = 2048;
/// Attribute keys a program can register besides the well-known ones; the first gets id [`FIRST_DYNAMIC_KEY`].
pub const KEY_COUNT: usize = 1024;
/// Id of the first key that a program registers itself. Smaller ids are the well-known [`KEYS`].
pub const FIRST_DYNAMIC_KEY: u16 = 256;
/// Keys with smaller ids are dimensions of metrics: the counts of unsampled spans keep them.
pub const FIRST_NON_METRIC_KEY: u16 = 32;
/// Series of unsampled spans a processor can hold; series 0 takes what does not fit.
pub const SERIES_COUNT: usize = 256;
/// Bytes for the resource text.
pub const RESOURCE_SIZE: usize = 4 * PAGE;
/// Account slots of the kernel half a process can have (one a goroutine that ever had a span).
pub const ACCOUNT_COUNT: usize = 16384;
/// Items of an attribute value longer than this are cut (the length has 12 bits).
pub const ITEM_LIMIT: usize = 4095;
/// Bytes of the largest log record.
pub const LOG_SIZE: usize = 16 * 1024;
/// Bytes of a log record's body; a longer one is cut.
pub const LOG_BODY_LIMIT: usize = 8 * 1024;
/// Bytes of the name of a log record's attribute, with the groups it is in.
pub const LOG_NAME_LIMIT: usize = 255;

/// Functions woven dormant that a program can register.
pub const FUNCTION_COUNT: usize = 1 << 16;
/// Functions that can be switched on at once, and one more: number 0 stands for "off".
pub const ACTIVE_COUNT: usize = 1024;
/// Bytes for the names of functions that were woven dormant.
pub const FUNCTION_TEXT_SIZE: usize = 8 << 20;
/// Operations from this id on are functions that were woven dormant; their number is the id less this.
pub const FIRST_FUNCTION: u32 = 1 << 16;
/// Keys from this id on are such a function's arguments, by position; the function's text has their names.
pub const FIRST_ARGUMENT_KEY: u16 = 0xff00;
/// Arguments that a span can have.
pub const ARGUMENT_COUNT: usize = 16;

/// Instruments (one series of a metric each) that a program can have at once.
pub const INSTRUMENT_COUNT: usize = 4096;
/// Buckets that the histograms among them can have together.
pub const INSTRUMENT_BUCKET_COUNT: usize = 65536;

/// Upper bounds of the duration histograms in nanoseconds; one more bucket takes what is above the last.
/// The advice of the HTTP conventions, continued downwards.
pub const BUCKET_BOUNDS: [u64; 19] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];
/// Buckets of a histogram.
pub const BUCKET_COUNT: usize = BUCKET_BOUNDS.len() + 1;

/// Type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Unsigned, one byte.
    U8,
    /// Unsigned, two bytes.
    U16,
    /// Unsigned, four bytes.
    U32,
    /// Unsigned, eight bytes.
    U64,
    /// Signed, eight bytes.
    I64,
    /// So many bytes of text or binary data.
    Bytes(usize),
    /// So many unsigned eight-byte integers.
    U64s(usize),
}

impl Type {
    /// Size in bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 => 4,
            Self::U64 | Self::I64 => 8,
            Self::Bytes(count) => count,
            Self::U64s(count) => 8 * count,
        }
    }

    /// Alignment in bytes.
    pub const fn align(self) -> usize {
        match self {
            Self::Bytes(_) => 1,
            Self::U64s(_) => 8,
            other => other.size(),
        }
    }
}

/// One field of a shared structure.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name in `snake_case`.
    pub name: &'static str,
    /// Type.
    pub ty: Type,
    /// Offset in bytes from the start of its structure.
    pub offset: usize,
    /// What it holds, its unit and who writes it.
    pub doc: &'static str,
}

/// One structure of the shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Struct {
    /// Name in `snake_case`.
    pub name: &'static str,
    /// Size in bytes; what no field covers is zero and reserved.
    pub size: usize,
    /// What it is.
    pub doc: &'static str,
    /// Its fields by rising offset.
    pub fields: &'static [Field],
}

impl Struct {
    /// Offset of a field; a compile-time error when it does not exist.
    pub const fn at(&self, name: &str) -> usize {
        let mut index = 0;
        while index < self.fields.len() {
            if same(self.fields[index].name, name) {
                return self.fields[index].offset;
            }
            index += 1;
        }
        panic!("no such field")
    }
}

const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}

const fn f(name: &'static str, ty: Type, offset: usize, doc: &'static str) -> Field {
    Field { name, ty, offset, doc }
}

/// First page: facts that never change while the program runs. Written by the program.
pub const HEADER: Struct = Struct {
    name: "header",
    size: PAGE,
    doc: "first page: facts that never change while the program runs; the program writes it, `magic` last",
    fields: &[
        f("magic", Type::U64, 0, "`TANDEM` and two zero bytes; written last"),
        f("layout_version", Type::U32, 8, "version of this layout"),
        f("flags", Type::U32, 12, "HEADER_* bits"),
        f("file_size", Type::U64, 16, "bytes of the whole file"),
        f("pid", Type::U32, 24, "process id as the program sees it"),
        f("accounts_size", Type::U32, 28, "account slots the program can use"),
        f("start_monotonic", Type::U64, 32, "CLOCK_MONOTONIC at start, ns"),
        f("start_realtime", Type::U64, 40, "CLOCK_REALTIME at the same moment, ns since 1970"),
        f("tls_g_offset", Type::I64, 48, "where the thread's g pointer lies, from the thread pointer (fsbase)"),
        f("g_m_offset", Type::U32, 56, "offset of g.m"),
        f("m_curg_offset", Type::U32, 60, "offset of m.curg"),
        f("slot_offset", Type::U32, 64, "offset of the slot (pointer to the context record) from g"),
        f(
            "account_offset",
            Type::U32,
            68,
            "offset of the account word from g: index in the low half; in the high half ACCOUNT_ON where the kernel half is to count",
        ),
        f("g0_address", Type::U64, 72, "run-time address of runtime.g0, the only g without a slot behind it that runs"),
        f("control_offset", Type::U64, 80, "offset of the control page"),
        f("descriptors_offset", Type::U64, 88, "offset of the descriptor table"),
        f("keys_offset", Type::U64, 96, "offset of the table of registered keys"),
        f(
            "resource_offset",
            Type::U64,
            104,
            "offset of the resource text: `OTEL_SERVICE_NAME=…`, `OTEL_RESOURCE_ATTRIBUTES=…`, what says in which pod and cloud the program runs, and the limits of spans, as the environment has them, one a line",
        ),
        f("entries_offset", Type::U64, 112, "offset of the in-flight table"),
        f("series_offset", Type::U64, 120, "offset of the counts: processor_count tables of series_count series"),
        f(
            "rings_offset",
            Type::U64,
            128,
            "offset of the ring headers, one a processor, then of the rings, page aligned",
        ),
        f("descriptor_count", Type::U32, 136, "capacity of the descriptor table"),
        f("key_count", Type::U32, 140, "capacity of the key table"),
        f("resource_size", Type::U32, 144, "bytes used of the resource text"),
        f("entry_count", Type::U32, 148, "entries of the in-flight table"),
        f("series_count", Type::U32, 152, "series a processor"),
        f("processor_count", Type::U32, 156, "rings and tables of counts; at least GOMAXPROCS at start"),
        f("ring_size", Type::U32, 160, "bytes of one ring, a power of two"),
        f(
            "functions_offset",
            Type::U64,
            168,
            "offset of the functions: switches (2 bytes a function), active functions, texts, calls (processor_count tables of active_count), each page aligned; 0: none",
        ),
        f("function_count", Type::U32, 176, "capacity of the switches"),
        f("function_text_size", Type::U32, 180, "capacity of the texts, bytes"),
        f("active_count", Type::U32, 184, "capacity of the table of active functions"),
        f("instrument_count", Type::U32, 188, "capacity of the table of instruments"),
        f("go_version", Type::Bytes(32), 192, "runtime.Version(), zero padded"),
        f("tandem_version", Type::Bytes(32), 224, "version of tandem that wove the program, zero padded"),
        f("instruments_offset", Type::U64, 256, "offset of the instruments, then of their buckets; 0: none"),
        f("bucket_count", Type::U32, 264, "capacity of the table of buckets"),
        f(
            "part_count",
            Type::U32,
            268,
            "parts of the anatomy that the program tells apart, the first so many; 0: FIRST_PART_COUNT",
        ),
        f("routes_offset", Type::U64, 272, "offset of the table of routes; 0: the program reads none"),
        f("route_count", Type::U32, 280, "capacity of the table of routes"),
        f(
            "goroutines_address",
            Type::U64,
            320,
            "run-time address of runtime.allgptr, which holds the address of the array of all g's; 0: not told",
        ),
        f("goroutine_count_address", Type::U64, 328, "run-time address of runtime.allglen, how many g's there are"),
        f("g_stack_offset", Type::U32, 336, "offset of g.stack: the lowest address of its stack, then the end"),
        f("g_status_offset", Type::U32, 340, "offset of g.atomicstatus"),
        f("g_sp_offset", Type::U32, 344, "offset of g.sched.sp"),
        f("g_pc_offset", Type::U32, 348, "offset of g.sched.pc"),
        f("g_bp_offset", Type::U32, 352, "offset of g.sched.bp"),
    ],
};

/// `header.flags`: the goroutine facts are valid; the kernel half may use them.
pub const HEADER_HAS_ACCOUNTS: u32 = 1;

/// High half of a goroutine's account word: a span is active and the goroutine runs, in Go's eyes. Only then does the kernel
/// half count its absences; 3 says that Go itself counts (the goroutine waits, or is on its way to or from a wait).
pub const ACCOUNT_ON: u32 = 1;

/// Second page: what the agent tells the program, and the program's own counters.
pub const CONTROL: Struct = Struct {
    name: "control",
    size: PAGE,
    doc: "second page: the first half the agent writes and the program reads, the second half the other way round",
    fields: &[
        f("generation", Type::U32, 0, "raised by an agent that wants the program to connect (once a value)"),
        f("flags", Type::U32, 4, "CONTROL_* bits"),
        f("heartbeat", Type::U64, 8, "CLOCK_MONOTONIC of the agent's last look, ns; 0: no agent yet"),
        f("sampling_threshold", Type::U64, 16, "reject a new root when the low 56 bits of its trace id are below this"),
        f("active_count", Type::U32, 24, "highest entry of the table of active functions that was ever used"),
        f("quiet_count", Type::U32, 28, "entries of `quiet` that were ever used"),
        f("disabled", Type::U64s(32), 64, "bit by descriptor id: join point switched off"),
        f("quiet", Type::Bytes(QUIET_COUNT * QUIET.size), 320, "calls that are not sampled: QUIET_COUNT entries"),
        f(
            "rules",
            Type::U64s(RULE_COUNT),
            1984,
            "what the agent says of single operations: RULE_COUNT entries, a word each",
        ),
        f("descriptor_count", Type::U32, 2048, "descriptors registered; raised after the entry is complete"),
        f("key_count", Type::U32, 2052, "keys registered; raised after the entry is complete"),
        f("account_count", Type::U32, 2056, "highest account index given out"),
        f("function_count", Type::U32, 2060, "functions registered; raised after their text is complete"),
        f(
            "lost_entries",
            Type::U64,
            2064,
            "spans that found the in-flight table full: not crash-safe, and those beyond as many again not recorded",
        ),
        f("cut_attributes", Type::U64, 2072, "attribute values cut or left out for want of room"),
        f("lost_names", Type::U64, 2080, "descriptors, keys and functions that did not fit their tables"),
        f("function_text_size", Type::U32, 2088, "bytes of function texts; raised after they are complete"),
        f("cut_logs", Type::U64, 2096, "log records of which something was cut or left out for want of room"),
        f("instrument_count", Type::U32, 2104, "instruments that were ever used; raised after they are complete"),
        f("bucket_count", Type::U32, 2108, "buckets given out"),
        f(
            "instruments_read",
            Type::U64,
            2112,
            "when the program last brought its instruments up to date, CLOCK_MONOTONIC ns; 0: never",
        ),
    ],
};

/// Entries of `control.rules`: a cache line.
pub const RULE_COUNT: usize = 8;

/// What the agent says of an operation's spans, so that it stays within its budget. Programs that know nothing of it record as before.
pub const RULE: Struct = Struct {
    name: "rule",
    size: 8,
    doc: "what is recorded of an operation's spans; the agent writes and the program reads it as one word, 0: the entry is free",
    fields: &[
        f("descriptor", Type::U32, 0, "id of the operation; 0: all that no other entry names"),
        f(
            "threshold",
            Type::U16,
            4,
            "reject its new roots, too, when the high 16 of their trace id's low 56 bits are below this",
        ),
        f("flags", Type::U8, 6, "RULE_* bits"),
        f(
            "counted",
            Type::U8,
            7,
            "in traces whose id's last byte is below this, 255: in all, its spans with a parent in the program are only counted",
        ),
    ],
};
/// `rule.flags`: the entry is in use.
pub const RULE_USED: u8 = 1;
/// `rule.flags`: new roots are all recorded, whatever the program's own sampler says.
pub const RULE_ALL: u8 = 2;

/// Entries of [`QUIET`].
pub const QUIET_COUNT: usize = 16;

/// Calls that are not sampled because of what they ask for.
pub const QUIET: Struct = Struct {
    name: "quiet",
    size: 104,
    doc: "calls of an operation that are not sampled, by what they ask for; who switches functions writes it, `descriptor` last, and 0 before anything else changes",
    fields: &[
        f("descriptor", Type::U32, 0, "id of the operation; 0: the entry is free"),
        f("size", Type::U32, 4, "bytes of `pattern`"),
        f("pattern", Type::Bytes(96), 8, "compared with a URL's path, or a full method; `*` is any text"),
    ],
};

/// `control.flags`: the agent decides on sampling; `sampling_threshold` replaces the program's own ratio for new roots.
pub const CONTROL_SAMPLING: u32 = 1;
/// `control.flags`: no spans at all for now.
pub const CONTROL_PAUSED: u32 = 2;
/// `control.flags`: there are entries in `rules`.
pub const CONTROL_RULES: u32 = 4;
/// `control.flags`: there are entries in the table of routes.
pub const CONTROL_ROUTES: u32 = 8;

/// Entries of [`ROUTE`] in a program's table: a page of them.
pub const ROUTE_COUNT: usize = 32;

/// What the agent says of new traces by what is asked for, so that it stays within its budget: in place of what `control.rules` says of them.
pub const ROUTE: Struct = Struct {
    name: "route",
    size: 128,
    doc: "how many new traces are recorded of those that ask for something; the agent writes: `word` last, and 0 before anything else changes. The first entry that fits counts",
    fields: &[
        f("word", Type::U64, 0, "as a rule's, for all operations; 0: here the table ends"),
        f("size", Type::U32, 8, "bytes of `pattern`"),
        f("pattern", Type::Bytes(112), 16, "compared with a URL's path, or a full method; `*` is any text"),
    ],
};

/// An operation: what a join point's spans have in common.
pub const DESCRIPTOR: Struct = Struct {
    name: "descriptor",
    size: 320,
    doc: "an operation: what the spans of one join point have in common; its index is its id, id 0 is never used",
    fields: &[
        f("kind", Type::U8, 0, "SPAN_KIND_*, as in OTLP"),
        f("id_size", Type::U8, 1, "bytes of `id`"),
        f("scope_size", Type::U8, 2, "bytes of `scope`"),
        f("name_size", Type::U8, 3, "bytes of `name`"),
        f("flags", Type::U32, 4, "DESCRIPTOR_* bits"),
        f("id", Type::Bytes(96), 16, "the join point's id, as in its pack: `net/http.server`"),
        f("scope", Type::Bytes(96), 112, "instrumentation scope: `tandem/net/http`"),
        f(
            "name",
            Type::Bytes(112),
            208,
            "template of the span's name: `{http.request.method} {http.route}|{http.request.method}`",
        ),
    ],
};

/// `descriptor.flags`: spans made by hand with the OpenTelemetry API. `scope` is the tracer's name; `name` is no template, but
/// the tracer's version, a line feed, and its schema URL. Each span names itself.
pub const DESCRIPTOR_API: u32 = 1;

/// A key that the program registered itself.
pub const KEY: Struct = Struct {
    name: "key",
    size: 64,
    doc: "an attribute key that the program registered; its id is its index plus FIRST_DYNAMIC_KEY",
    fields: &[f("size", Type::U8, 0, "bytes of `name`"), f("name", Type::Bytes(63), 1, "the key")],
};

/// One ring's header. The program owns `head`, the agent `tail`; each on cache lines of its own.
pub const RING: Struct = Struct {
    name: "ring",
    size: 256,
    doc: "one ring's header; positions count bytes for ever, position modulo ring_size is the place",
    fields: &[
        f("head", Type::U64, 0, "end of what is written; the program writes it, after the record"),
        f("dropped", Type::U64, 8, "records that found the ring full; the program writes it"),
        f(
            "dropped_logs",
            Type::U64,
            16,
            "log records that found too little room, not counted in `dropped`; the program writes it",
        ),
        f("tail", Type::U64, 128, "end of what is read; the agent writes it"),
    ],
};

/// A span record: in an entry of the in-flight table while the span runs, then in a ring. Items follow.
pub const RECORD: Struct = Struct {
    name: "record",
    size: 64,
    doc: "a span, in the in-flight table while it runs and in a ring when it has ended; items follow it",
    fields: &[
        f(
            "size",
            Type::U32,
            0,
            "bytes with items, a multiple of 8; in the table 0 while the entry is free, written last",
        ),
        f("kind", Type::U8, 4, "RECORD_*"),
        f("trace_flags", Type::U8, 5, "W3C trace flags"),
        f("status", Type::U8, 6, "STATUS_*, as in OTLP"),
        f("flags", Type::U8, 7, "RECORD_FLAG_* bits"),
        f("trace_id", Type::Bytes(16), 8, "as on the wire"),
        f("span_id", Type::Bytes(8), 24, "as on the wire"),
        f("parent_span_id", Type::Bytes(8), 32, "as on the wire; zero: a root"),
        f("start", Type::U64, 40, "CLOCK_MONOTONIC, ns"),
        f("end", Type::U64, 48, "CLOCK_MONOTONIC, ns; 0: not ended"),
        f("descriptor", Type::U32, 56, "id of its operation"),
        f("account", Type::U32, 60, "account index of its goroutine; 0: none"),
    ],
};

/// `record.kind`: a span.
pub const RECORD_SPAN: u8 = 1;
/// `record.kind`: skip `size` bytes (the record would not have fitted before the ring's end). Only the first 8 bytes are there.
pub const RECORD_PADDING: u8 = 2;

/// `record.kind`: a log record; its head is a [`LOG`].
pub const RECORD_LOG: u8 = 3;

/// `record.flags`: the parent is in another process.
pub const RECORD_FLAG_REMOTE_PARENT: u8 = 1;
/// `record.flags`: Go's half of the anatomy was measured; parts without an item are 0.
pub const RECORD_FLAG_GO_PARTS: u8 = 2;
/// `record.flags`: the kernel's half of the anatomy was measured; parts without an item are 0.
pub const RECORD_FLAG_KERNEL_PARTS: u8 = 4;
/// `record.flags`: attributes were cut or left out for want of room.
pub const RECORD_FLAG_CUT: u8 = 8;

/// Kinds of spans, as in OTLP.
pub mod kind {
    /// Inside a program.
    pub const INTERNAL: u8 = 1;
    /// A request that is answered.
    pub const SERVER: u8 = 2;
    /// A request that is made.
    pub const CLIENT: u8 = 3;
    /// A message that is sent.
    pub const PRODUCER: u8 = 4;
    /// A message that is received.
    pub const CONSUMER: u8 = 5;
}

/// How spans ended, as in OTLP.
pub mod status {
    /// Nobody has said.
    pub const UNSET: u8 = 0;
    /// Well.
    pub const OK: u8 = 1;
    /// With an error.
    pub const ERROR: u8 = 2;
}

/// A log record: written beside the ring and copied there in one piece. Items of their own kinds ([`log_item`]) follow.
pub const LOG: Struct = Struct {
    name: "log",
    size: 64,
    doc: "a log record, only ever in a ring; LOG_ITEM_* items follow it",
    fields: &[
        f("size", Type::U32, 0, "bytes with items, a multiple of 8"),
        f("kind", Type::U8, 4, "RECORD_LOG"),
        f("trace_flags", Type::U8, 5, "W3C trace flags of the span it belongs to"),
        f("severity", Type::U8, 6, "severity number, as in OTLP; 0: none"),
        f("flags", Type::U8, 7, "RECORD_FLAG_CUT or 0"),
        f("trace_id", Type::Bytes(16), 8, "as on the wire; zero: written outside of spans"),
        f("span_id", Type::Bytes(8), 24, "as on the wire; zero: written outside of spans"),
        f("time", Type::U64, 32, "the record's own time, ns since 1970; 0: it has none"),
        f("observed", Type::U64, 40, "when it was seen, CLOCK_MONOTONIC ns"),
        f("descriptor", Type::U32, 48, "id of the operation that stands for its library"),
    ],
};

/// Head of an item: key and, in one word, type (high 4 bits) and length (low 12 bits). Data follow, padded to 4 bytes.
pub const ITEM: Struct = Struct {
    name: "item",
    size: 4,
    doc: "head of an item; its data follow, padded to 4 bytes",
    fields: &[
        f(
            "key",
            Type::U16,
            0,
            "attribute key, event name or anatomy part, by type; in a log record the bytes of the name before the data",
        ),
        f("type_and_size", Type::U16, 2, "ITEM_* in the high 4 bits, bytes of data in the low 12"),
    ],
};

/// A duration histogram of spans that were not sampled (or not recorded, the ring being full).
pub const SERIES: Struct = Struct {
    name: "series",
    size: 320,
    doc: "counts of spans that left no record, by operation, status and metric dimensions; the program writes them",
    fields: &[
        f("hash", Type::U64, 0, "hash of the key; 0: free; written last"),
        f("descriptor", Type::U32, 8, "id of the operation"),
        f("status", Type::U8, 12, "STATUS_*"),
        f("labels_size", Type::U8, 13, "bytes of `labels`"),
        f("count", Type::U64, 16, "spans"),
        f("sum", Type::U64, 24, "their durations, ns"),
        f("buckets", Type::U64s(BUCKET_COUNT), 32, "spans by duration; bounds are BUCKET_BOUNDS"),
        f("labels", Type::Bytes(128), 192, "items: the metric dimensions"),
    ],
};

/// One slot of the account map, which the kernel half writes and the program maps read-only. Cumulative, ns.
pub const ACCOUNT: Struct = Struct {
    name: "account",
    size: 128,
    doc: "kernel half of a goroutine's account: cumulative nanoseconds, written by the scheduler probe, read-only for the program",
    fields: &[
        f("run_queue", Type::U64, 0, "runnable, waiting for a CPU"),
        f("blocked_file", Type::U64, 8, "blocked in a file system call"),
        f("blocked_network", Type::U64, 16, "blocked in a network system call"),
        f("blocked_futex", Type::U64, 24, "blocked in futex"),
        f("blocked_lock", Type::U64, 32, "blocked in a file lock"),
        f("blocked_sleep", Type::U64, 40, "blocked in a sleep system call"),
        f("blocked_other", Type::U64, 48, "blocked in any other system call"),
        f("major_fault", Type::U64, 56, "blocked outside system calls: page faults that wait for a device"),
        f("switches_voluntary", Type::U64, 64, "times it gave up the CPU by itself"),
        f("switches_involuntary", Type::U64, 72, "times it was preempted by the kernel"),
        f(
            "block_io",
            Type::U64,
            80,
            "blocked for a block device in a system call; only of programs that tell it apart",
        ),
        f(
            "throttled",
            Type::U64,
            88,
            "runnable, its control group having used up its CPU time; only of programs that tell it apart",
        ),
        f(
            "network_unread",
            Type::U64,
            96,
            "of Go's wait for the network, while the data were there already; with `--detail` only",
        ),
        f(
            "connection_resent",
            Type::U32,
            104,
            "not the account's: segments that were sent again on the TCP connections behind the descriptor of this number, while it was in a poller",
        ),
        f("connection_rtt", Type::U32, 108, "the same connection's smoothed round-trip time, µs"),
        f("connection_sampled", Type::U32, 112, "when connection_rtt was looked at, CLOCK_MONOTONIC in 2^24 ns; wraps"),
        f("minor_faults", Type::U32, 116, "page faults that waited for no device; with `--detail` only; wraps"),
        f("minor_fault", Type::U64, 120, "ran in the kernel for page faults; with `--detail` only"),
    ],
};

/// The text of functions that were woven dormant, one block a source file. Text follows, padded to 8 bytes.
pub const FUNCTION_TEXT: Struct = Struct {
    name: "function_text",
    size: 16,
    doc: "head of a block of text: a line with the import path and the package's name, then one for each function: its name, and those of the arguments that it can record; padded to 8 bytes",
    fields: &[
        f("first", Type::U32, 0, "number of its first function"),
        f("count", Type::U32, 4, "functions"),
        f("size", Type::U32, 8, "bytes of text"),
    ],
};

/// A function that is switched on. The switch of a function holds the number of its entry here; 0: off.
pub const ACTIVE: Struct = Struct {
    name: "active",
    size: 128,
    doc: "a function that is switched on; the first half whoever switches writes and the program reads, the second half is the program's own",
    fields: &[
        f("function", Type::U32, 0, "number of the function, and 1; 0: the entry is free"),
        f("flags", Type::U32, 4, "ACTIVE_* bits"),
        f("limit", Type::U32, 8, "spans a second; 0: no limit"),
        f("calls_before", Type::U64, 16, "calls that its table entries had counted when it was switched on"),
        f("limited_before", Type::U64, 24, "the same of those beyond the limit"),
        f("window", Type::U64, 64, "when the current second of the limit began, CLOCK_MONOTONIC ns"),
        f("started", Type::U32, 72, "spans given out in it"),
    ],
};

/// `active.flags`: record the arguments.
pub const ACTIVE_ARGUMENTS: u32 = 1;

/// What one processor has counted of an active function.
pub const CALLS: Struct = Struct {
    name: "calls",
    size: 32,
    doc: "what one processor has counted of an active function, cumulative over all functions that have had the entry; the program writes it",
    fields: &[
        f("calls", Type::U64, 0, "calls while it was on"),
        f("limited", Type::U64, 8, "of them, those that got no span because of the limit"),
        f("looked", Type::U64, 16, "when a call beyond the limit last looked at the clock, CLOCK_MONOTONIC ns"),
        f("granted", Type::U16, 24, "spans that may still be started without asking"),
        f("skip", Type::U16, 26, "calls that are to be refused without asking"),
        f("skipped", Type::U16, 28, "how many they were"),
    ],
};

/// One series of a metric that the program keeps itself: a number, or a histogram.
pub const INSTRUMENT: Struct = Struct {
    name: "instrument",
    size: 448,
    doc: "one series of a metric that the program keeps itself; the program writes it",
    fields: &[
        f(
            "state",
            Type::U32,
            0,
            "INSTRUMENT_* in the low byte, how often the place was used above it; 0: free; written last, and first when it is freed",
        ),
        f("flags", Type::U32, 4, "INSTRUMENT_FLAG_* bits"),
        f("value", Type::U64, 8, "the number, signed, or the bits of a float; of a histogram the sum"),
        f("start", Type::U64, 16, "since when it has been counting, CLOCK_MONOTONIC ns"),
        f("name_size", Type::U8, 24, "bytes of the name"),
        f("unit_size", Type::U8, 25, "bytes of the unit"),
        f("description_size", Type::U8, 26, "bytes of the description"),
        f("scope_size", Type::U8, 27, "bytes of the scope"),
        f("attributes_size", Type::U32, 28, "bytes of the attributes"),
        f("buckets", Type::U32, 32, "number of its first bucket"),
        f("bucket_count", Type::U32, 36, "its buckets"),
        f("uses", Type::U32, 40, "how often the place was used; the program's own"),
        f(
            "types",
            Type::U64,
            48,
            "INSTRUMENT_TYPE_* of its attributes, four bits each from the lowest; later ones are texts",
        ),
        f(
            "text",
            Type::Bytes(384),
            64,
            "name, unit, description, scope (its name; with a version or a schema URL: a line each), attributes (`key=value`, one a line), one after the other",
        ),
    ],
};

/// `instrument.state`: a sum that only rises.
pub const INSTRUMENT_COUNTER: u8 = 1;
/// `instrument.state`: a sum that goes up and down.
pub const INSTRUMENT_UP_DOWN: u8 = 2;
/// `instrument.state`: a number that sums make no sense of.
pub const INSTRUMENT_GAUGE: u8 = 3;
/// `instrument.state`: a histogram.
pub const INSTRUMENT_HISTOGRAM: u8 = 4;
/// `instrument.flags`: `value` holds the bits of a float.
pub const INSTRUMENT_FLAG_FLOAT: u32 = 1;
/// `instrument.flags`: read when the program brings its instruments up to date, else counted as things happen.
pub const INSTRUMENT_FLAG_OBSERVED: u32 = 2;
/// `instrument.flags`: in the attributes `\\` stands for a backslash, `\n` for a line feed and `\e` for an equals sign in a key.
pub const INSTRUMENT_FLAG_ESCAPED: u32 = 4;

/// `instrument.types`: a text.
pub const INSTRUMENT_TYPE_TEXT: u8 = 0;
/// `instrument.types`: a whole number.
pub const INSTRUMENT_TYPE_INT: u8 = 1;
/// `instrument.types`: a number with a fraction.
pub const INSTRUMENT_TYPE_FLOAT: u8 = 2;
/// `instrument.types`: `true` or `false`.
pub const INSTRUMENT_TYPE_BOOL: u8 = 3;
/// `instrument.types`: a list, as JSON.
pub const INSTRUMENT_TYPE_LIST: u8 = 4;

/// One bucket of an instrument's histogram.
pub const BUCKET: Struct = Struct {
    name: "bucket",
    size: 16,
    doc: "one bucket of an instrument's histogram; the last one has no bound",
    fields: &[
        f("bound", Type::U64, 0, "upper bound, inclusive, bits of a float"),
        f("count", Type::U64, 8, "values in it"),
    ],
};

/// Message of a program to the agent, sent with its memfd (`SCM_RIGHTS`) over a `SOCK_SEQPACKET` socket.
pub const HELLO: Struct = Struct {
    name: "hello",
    size: 24,
    doc: "program to agent, with its memfd; the peer is known by SO_PEERCRED",
    fields: &[
        f("magic", Type::U32, 0, "HELLO_MAGIC"),
        f("layout_version", Type::U32, 4, "layout of the memfd"),
        f("pid", Type::U32, 8, "process id as the program sees it"),
        f(
            "generation",
            Type::U32,
            12,
            "the control page's generation that this answers; without a memfd, the errno that says why",
        ),
        f("file_size", Type::U64, 16, "bytes of the memfd; 0: there is none, nothing will be recorded"),
    ],
};
/// `hello.magic`.
pub const HELLO_MAGIC: u32 = u32::from_le_bytes(*b"TDHI");

/// The agent's answer, with the account map's descriptor when the kernel half is on.
pub const WELCOME: Struct = Struct {
    name: "welcome",
    size: 16,
    doc: "agent to program; when account_count is not 0 the account map's descriptor comes with it",
    fields: &[
        f("magic", Type::U32, 0, "WELCOME_MAGIC"),
        f("layout_version", Type::U32, 4, "newest layout the agent reads"),
        f("account_count", Type::U32, 8, "slots of the account map; 0: no kernel half"),
        f("reserved", Type::U32, 12, "0"),
    ],
};
/// `welcome.magic`.
pub const WELCOME_MAGIC: u32 = u32::from_le_bytes(*b"TDOK");

/// All structures, in the order of the file.
pub const STRUCTS: &[Struct] = &[
    HEADER,
    CONTROL,
    DESCRIPTOR,
    KEY,
    RING,
    RECORD,
    ITEM,
    SERIES,
    ACCOUNT,
    FUNCTION_TEXT,
    ACTIVE,
    CALLS,
    QUIET,
    RULE,
    ROUTE,
    HELLO,
    WELCOME,
    LOG,
    INSTRUMENT,
    BUCKET,
];

/// A named number that both sides share.
#[derive(Clone, Copy, Debug)]
pub struct Constant {
    /// Name in `UPPER_CASE`.
    pub name: &'static str,
    /// Value.
    pub value: u64,
}

const fn c(name: &'static str, value: u64) -> Constant {
    Constant { name, value }
}

/// Item types: the data's form.
pub mod item {
    /// Attribute: UTF-8 text.
    pub const STRING: u16 = 1;
    /// Attribute: signed 64-bit integer.
    pub const INT: u16 = 2;
    /// Attribute: 64-bit float.
    pub const FLOAT: u16 = 3;
    /// Attribute: 4 bytes, 0 or 1.
    pub const BOOL: u16 = 4;
    /// The span's name, where the descriptor's template does not tell it. Key 0.
    pub const NAME: u16 = 5;
    /// Status message. Key 0.
    pub const STATUS_MESSAGE: u16 = 6;
    /// W3C tracestate. Key 0.
    pub const TRACESTATE: u16 = 7;
    /// Link: trace id, span id (24 bytes). Key 0.
    pub const LINK: u16 = 8;
    /// Event: time (8 bytes, `CLOCK_MONOTONIC` ns); the key is its name. Attributes up to `EVENT_END` are its own.
    pub const EVENT: u16 = 9;
    /// End of an event's attributes. No data.
    pub const EVENT_END: u16 = 10;
    /// Anatomy part (8 bytes, ns); the key is the part.
    pub const PART: u16 = 11;
    /// What does not fit the form of the others. The key is one of [`super::extended`]; data are four bytes, the length of what
    /// follows them, padded to 4.
    pub const EXTENDED: u16 = 12;
}

/// What an extended item is: the forms of what follows its length. Integers are not aligned.
pub mod extended {
    /// Attribute: id of its key (2 bytes; 0: given by name), length of the name (2 bytes), name, value (see [`super::value`]).
    pub const ATTRIBUTE: u16 = 1;
    /// Event: time (8 bytes, ns), clock (1 byte; 0: `CLOCK_MONOTONIC`, 1: since 1970), name. Attributes up to `EVENT_END` are its own.
    pub const EVENT: u16 = 2;
    /// Link: trace id, span id, W3C trace flags (4 bytes), tracestate. Attributes up to `EVENT_END` are its own.
    pub const LINK: u16 = 3;
    /// The span's start as the program gave it (8 bytes, ns since 1970).
    pub const START: u16 = 4;
    /// The span's end as the program gave it (8 bytes, ns since 1970).
    pub const END: u16 = 5;
    /// Attributes, events and links that went beyond a limit (4 bytes each).
    pub const DROPPED: u16 = 6;
}

/// Values of extended attributes: a byte that says which, and its data.
pub mod value {
    /// Length (4 bytes), text.
    pub const STRING: u8 = 1;
    /// 8 bytes.
    pub const INT: u8 = 2;
    /// 8 bytes.
    pub const FLOAT: u8 = 3;
    /// 1 byte, 0 or 1.
    pub const BOOL: u8 = 4;
    /// Length (4 bytes), bytes.
    pub const BYTES: u8 = 5;
    /// Length in bytes (4 bytes), values.
    pub const LIST: u8 = 6;
    /// Length in bytes (4 bytes), pairs of a key (length, 4 bytes, and text) and a value.
    pub const MAP: u8 = 7;
    /// Lists and maps lie in each other at most so deep.
    pub const DEPTH_LIMIT: usize = 16;
}

/// Types of a log record's items. Its attributes have names of the user's own: the head's `key` says how many bytes of the
/// data are the name, groups with dots between them; the value follows, its integers not aligned.
pub mod log_item {
    /// Attribute: UTF-8 text.
    pub const STRING: u16 = 1;
    /// Attribute: signed 64-bit integer.
    pub const INT: u16 = 2;
    /// Attribute: 64-bit float.
    pub const FLOAT: u16 = 3;
    /// Attribute: a byte, 0 or 1.
    pub const BOOL: u16 = 4;
    /// Attribute: a value as JSON text, which may be cut. Without a name: an object whose members are attributes. What
    /// follows another one without a name goes on with its text.
    pub const JSON: u16 = 5;
    /// Name of members that JSON objects of this record are to be read without.
    pub const OMIT: u16 = 6;
    /// The body; what follows another one goes on with its text.
    pub const BODY: u16 = 7;
    /// The severity's name in its library.
    pub const SEVERITY_TEXT: u16 = 8;
    /// Where it was written: the function's name.
    pub const FUNCTION: u16 = 9;
    /// Where it was written: the file's path.
    pub const FILE: u16 = 10;
    /// Where it was written: the line (4 bytes).
    pub const LINE: u16 = 11;
    /// Name of the event that the record is.
    pub const EVENT_NAME: u16 = 12;
}

/// Numbers shared with Go and C besides structures, keys and parts.
pub const CONSTANTS: &[Constant] = &[
    c("MAGIC", MAGIC),
    c("LAYOUT_VERSION", LAYOUT_VERSION as u64),
    c("PAGE", PAGE as u64),
    c("ENTRY_SIZE", ENTRY_SIZE as u64),
    c("RECORD_LIMIT", RECORD_LIMIT as u64),
    c("ENTRY_COUNT", ENTRY_COUNT as u64),
    c("RING_SIZE", RING_SIZE as u64),
    c("DESCRIPTOR_COUNT", DESCRIPTOR_COUNT as u64),
    c("KEY_COUNT", KEY_COUNT as u64),
    c("FIRST_DYNAMIC_KEY", FIRST_DYNAMIC_KEY as u64),
    c("FIRST_NON_METRIC_KEY", FIRST_NON_METRIC_KEY as u64),
    c("SERIES_COUNT", SERIES_COUNT as u64),
    c("RESOURCE_SIZE", RESOURCE_SIZE as u64),
    c("ACCOUNT_COUNT", ACCOUNT_COUNT as u64),
    c("FUNCTION_COUNT", FUNCTION_COUNT as u64),
    c("ACTIVE_COUNT", ACTIVE_COUNT as u64),
    c("QUIET_COUNT", QUIET_COUNT as u64),
    c("FUNCTION_TEXT_SIZE", FUNCTION_TEXT_SIZE as u64),
    c("FIRST_FUNCTION", FIRST_FUNCTION as u64),
    c("FIRST_ARGUMENT_KEY", FIRST_ARGUMENT_KEY as u64),
    c("ARGUMENT_COUNT", ARGUMENT_COUNT as u64),
    c("ACTIVE_ARGUMENTS", ACTIVE_ARGUMENTS as u64),
    c("ITEM_LIMIT", ITEM_LIMIT as u64),
    c("BUCKET_COUNT", BUCKET_COUNT as u64),
    c("HEADER_HAS_ACCOUNTS", HEADER_HAS_ACCOUNTS as u64),
    c("ACCOUNT_ON", ACCOUNT_ON as u64),
    c("DESCRIPTOR_API", DESCRIPTOR_API as u64),
    c("CONTROL_SAMPLING", CONTROL_SAMPLING as u64),
    c("CONTROL_PAUSED", CONTROL_PAUSED as u64),
    c("CONTROL_RULES", CONTROL_RULES as u64),
    c("CONTROL_ROUTES", CONTROL_ROUTES as u64),
    c("ROUTE_COUNT", ROUTE_COUNT as u64),
    c("RULE_COUNT", RULE_COUNT as u64),
    c("RULE_USED", RULE_USED as u64),
    c("RULE_ALL", RULE_ALL as u64),
    c("RECORD_SPAN", RECORD_SPAN as u64),
    c("RECORD_PADDING", RECORD_PADDING as u64),
    c("RECORD_FLAG_REMOTE_PARENT", RECORD_FLAG_REMOTE_PARENT as u64),
    c("RECORD_FLAG_GO_PARTS", RECORD_FLAG_GO_PARTS as u64),
    c("RECORD_FLAG_KERNEL_PARTS", RECORD_FLAG_KERNEL_PARTS as u64),
    c("RECORD_FLAG_CUT", RECORD_FLAG_CUT as u64),
    c("ITEM_STRING", item::STRING as u64),
    c("ITEM_INT", item::INT as u64),
    c("ITEM_FLOAT", item::FLOAT as u64),
    c("ITEM_BOOL", item::BOOL as u64),
    c("ITEM_NAME", item::NAME as u64),
    c("ITEM_STATUS_MESSAGE", item::STATUS_MESSAGE as u64),
    c("ITEM_TRACESTATE", item::TRACESTATE as u64),
    c("ITEM_LINK", item::LINK as u64),
    c("ITEM_EVENT", item::EVENT as u64),
    c("ITEM_EVENT_END", item::EVENT_END as u64),
    c("ITEM_PART", item::PART as u64),
    c("ITEM_EXTENDED", item::EXTENDED as u64),
    c("EXTENDED_ATTRIBUTE", extended::ATTRIBUTE as u64),
    c("EXTENDED_EVENT", extended::EVENT as u64),
    c("EXTENDED_LINK", extended::LINK as u64),
    c("EXTENDED_START", extended::START as u64),
    c("EXTENDED_END", extended::END as u64),
    c("EXTENDED_DROPPED", extended::DROPPED as u64),
    c("VALUE_STRING", value::STRING as u64),
    c("VALUE_INT", value::INT as u64),
    c("VALUE_FLOAT", value::FLOAT as u64),
    c("VALUE_BOOL", value::BOOL as u64),
    c("VALUE_BYTES", value::BYTES as u64),
    c("VALUE_LIST", value::LIST as u64),
    c("VALUE_MAP", value::MAP as u64),
    c("VALUE_DEPTH_LIMIT", value::DEPTH_LIMIT as u64),
    c("HELLO_MAGIC", HELLO_MAGIC as u64),
    c("WELCOME_MAGIC", WELCOME_MAGIC as u64),
    c("KIND_INTERNAL", kind::INTERNAL as u64),
    c("KIND_SERVER", kind::SERVER as u64),
    c("KIND_CLIENT", kind::CLIENT as u64),
    c("KIND_PRODUCER", kind::PRODUCER as u64),
    c("KIND_CONSUMER", kind::CONSUMER as u64),
    c("STATUS_UNSET", status::UNSET as u64),
    c("STATUS_OK", status::OK as u64),
    c("STATUS_ERROR", status::ERROR as u64),
    c("RECORD_LOG", RECORD_LOG as u64),
    c("LOG_SIZE", LOG_SIZE as u64),
    c("LOG_BODY_LIMIT", LOG_BODY_LIMIT as u64),
    c("LOG_NAME_LIMIT", LOG_NAME_LIMIT as u64),
    c("LOG_ITEM_STRING", log_item::STRING as u64),
    c("LOG_ITEM_INT", log_item::INT as u64),
    c("LOG_ITEM_FLOAT", log_item::FLOAT as u64),
    c("LOG_ITEM_BOOL", log_item::BOOL as u64),
    c("LOG_ITEM_JSON", log_item::JSON as u64),
    c("LOG_ITEM_OMIT", log_item::OMIT as u64),
    c("LOG_ITEM_BODY", log_item::BODY as u64),
    c("LOG_ITEM_SEVERITY_TEXT", log_item::SEVERITY_TEXT as u64),
    c("LOG_ITEM_FUNCTION", log_item::FUNCTION as u64),
    c("LOG_ITEM_FILE", log_item::FILE as u64),
    c("LOG_ITEM_LINE", log_item::LINE as u64),
    c("LOG_ITEM_EVENT_NAME", log_item::EVENT_NAME as u64),
    c("INSTRUMENT_COUNT", INSTRUMENT_COUNT as u64),
    c("INSTRUMENT_BUCKET_COUNT", INSTRUMENT_BUCKET_COUNT as u64),
    c("INSTRUMENT_COUNTER", INSTRUMENT_COUNTER as u64),
    c("INSTRUMENT_UP_DOWN", INSTRUMENT_UP_DOWN as u64),
    c("INSTRUMENT_GAUGE", INSTRUMENT_GAUGE as u64),
    c("INSTRUMENT_HISTOGRAM", INSTRUMENT_HISTOGRAM as u64),
    c("INSTRUMENT_FLAG_FLOAT", INSTRUMENT_FLAG_FLOAT as u64),
    c("INSTRUMENT_FLAG_OBSERVED", INSTRUMENT_FLAG_OBSERVED as u64),
    c("INSTRUMENT_FLAG_ESCAPED", INSTRUMENT_FLAG_ESCAPED as u64),
    c("INSTRUMENT_TYPE_TEXT", INSTRUMENT_TYPE_TEXT as u64),
    c("INSTRUMENT_TYPE_INT", INSTRUMENT_TYPE_INT as u64),
    c("INSTRUMENT_TYPE_FLOAT", INSTRUMENT_TYPE_FLOAT as u64),
    c("INSTRUMENT_TYPE_BOOL", INSTRUMENT_TYPE_BOOL as u64),
    c("INSTRUMENT_TYPE_LIST", INSTRUMENT_TYPE_LIST as u64),
    c("PART_COUNT", PARTS.len() as u64),
    c("FIRST_PART_COUNT", FIRST_PART_COUNT as u64),
];

/// Parts of the anatomy; the index is the part's number on the wire. The names are those that users see.
pub const PARTS: [&str; 25] = [
    "on_cpu",
    "run_queue",
    "go_runnable",
    "go_network",
    "go_channel",
    "go_select",
    "go_sync",
    "go_sleep",
    "go_gc",
    "go_coroutine",
    "go_other",
    "blocked_file",
    "blocked_network",
    "blocked_futex",
    "blocked_lock",
    "blocked_sleep",
    "blocked_other",
    "major_fault",
    "block_io",
    "throttled",
    "cgo",
    "network_unread",
    "go_send",
    "go_stopped",
    "minor_fault",
];

/// Parts that every program tells apart: those that there were before the header said how many.
pub const FIRST_PART_COUNT: usize = 18;

/// The number of a part; a compile-time error when there is none of this name.
pub const fn part(name: &str) -> usize {
    let mut index = 0;
    while index < PARTS.len() {
        if same(PARTS[index], name) {
            return index;
        }
        index += 1;
    }
    panic!("no such part")
}

/// A well-known attribute key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its number in items.
    pub id: u16,
    /// Its name in the semantic conventions.
    pub name: &'static str,
}

const fn k(id: u16, name: &'static str) -> Key {
    Key { id, name }
}

/// Whether another key has the same name but is no dimension.
pub fn is_twin(key: &Key) -> bool {
    KEYS.iter().any(|other| other.id > key.id && other.name == key.name)
}

/// Well-known keys. Ids are never reused; those below [`FIRST_NON_METRIC_KEY`] are dimensions of metrics.
pub const KEYS: &[Key] = &[
    k(1, "http.request.method"),
    k(2, "http.route"),
    k(3, "http.response.status_code"),
    k(4, "rpc.system.name"),
    k(5, "rpc.method"),
    k(6, "rpc.response.status_code"),
    k(7, "db.system.name"),
    k(8, "db.operation.name"),
    k(9, "db.collection.name"),
    k(10, "messaging.system"),
    k(11, "messaging.operation.type"),
    k(12, "messaging.operation.name"),
    k(13, "messaging.destination.name"),
    k(14, "error.type"),
    // The same attributes again, where they are dimensions: of a client, whose peers the program knows. A server's
    // address comes from outside and has any number of values.
    k(15, "server.address"),
    k(16, "server.port"),
    k(17, "url.scheme"),
    k(18, "db.namespace"),
    k(32, "url.path"),
    k(33, "url.query"),
    k(34, "url.scheme"),
    k(35, "url.full"),
    k(36, "server.address"),
    k(37, "server.port"),
    k(38, "client.address"),
    k(39, "client.port"),
    k(40, "network.peer.address"),
    k(41, "network.peer.port"),
    k(42, "network.protocol.name"),
    k(43, "network.protocol.version"),
    k(44, "network.transport"),
    k(45, "user_agent.original"),
    k(46, "http.request.method_original"),
    k(47, "http.request.resend_count"),
    k(48, "http.request.body.size"),
    k(49, "http.response.body.size"),
    k(50, "db.namespace"),
    k(51, "db.query.text"),
    k(52, "db.query.summary"),
    k(53, "db.response.status_code"),
    k(54, "db.response.returned_rows"),
    k(55, "db.stored_procedure.name"),
    k(56, "exception.type"),
    k(57, "exception.message"),
    k(58, "exception.stacktrace"),
    k(59, "exception"),
    k(60, "code.function.name"),
    k(61, "code.file.path"),
    k(62, "code.line.number"),
    k(63, "messaging.message.id"),
    k(64, "messaging.batch.message_count"),
    k(65, "messaging.consumer.group.name"),
    k(66, "rpc.method_original"),
    k(67, "rpc.message.type"),
    k(68, "rpc.message.id"),
    k(69, "thread.id"),
    k(70, "goroutine.id"),
    k(71, "tandem.tcp.retransmits"),
    k(72, "tandem.tcp.rtt"),
    k(73, "tandem.page_faults"),
];

/// The id of a well-known key, by its name; a compile-time error when there is none.
pub const fn key(name: &str) -> u16 {
    let mut index = 0;
    while index < KEYS.len() {
        if same(KEYS[index].name, name) {
            return KEYS[index].id;
        }
        index += 1;
    }
    panic!("no such key")
}

/// The same of a name that has two ids: of a dimension, and of an attribute that is none.
pub const fn attribute_key(name: &str) -> u16 {
    let mut index = KEYS.len();
    while index > 0 {
        index -= 1;
        if same(KEYS[index].name, name) {
            return KEYS[index].id;
        }
    }
    panic!("no such key")
}

/// Name of a well-known key.
pub fn key_name(id: u16) -> Option<&'static str> {
    KEYS.iter().find(|key| key.id == id).map(|key| key.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields are aligned, in order, do not overlap and fit their structure.
    #[test]
    fn structures_are_sound() {
        for structure in STRUCTS {
            let mut end = 0;
            for field in structure.fields {
                let place = format!("{}.{}", structure.name, field.name);
                assert!(field.offset >= end, "{place} overlaps the field before it");
                assert_eq!(field.offset % field.ty.align(), 0, "{place} is not aligned");
                end = field.offset + field.ty.size();
            }
            assert!(end <= structure.size, "{} is larger than its size", structure.name);
        }
    }

    /// Key ids rise, so none is given twice, and stay below the dynamic ones.
    #[test]
    fn keys_are_unique() {
        assert!(KEYS.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert!(KEYS.iter().all(|key| key.id < FIRST_DYNAMIC_KEY));
    }

    /// What must be a power of two or fit a field does.
    #[test]
    fn geometry_is_sound() {
        assert!(RING_SIZE.is_power_of_two() && SERIES_COUNT.is_power_of_two());
        const { assert!(RING_SIZE >= 8 * ENTRY_SIZE) };
        const { assert!(RING_SIZE >= 16 * LOG_SIZE && LOG_SIZE <= 32 * 1024) }; // a reader copies 64 KiB at once
        assert_eq!(CONTROL.at("descriptor_count"), PAGE / 2, "the two halves of the control page have one writer each");
        const { assert!(DESCRIPTOR_COUNT <= 32 * 64) };
        const { assert!(DESCRIPTOR_COUNT <= FIRST_FUNCTION as usize && ACTIVE_COUNT <= FUNCTION_COUNT) };
        const { assert!(FIRST_DYNAMIC_KEY as usize + KEY_COUNT <= FIRST_ARGUMENT_KEY as usize) };
        assert_eq!(ACTIVE.at("window"), 64, "the two halves of an active function have one writer each");
        const { assert!(ROUTE_COUNT * ROUTE.size == PAGE) };
    }
}
