//! The header page: what a program says about itself, checked before anything is believed.
//!
//! A [`Header`] exists only when every region that it names lies inside the file.

use std::ops::RangeInclusive;

use crate::layout::{
    ACTIVE, BUCKET, CALLS, CONTROL, DESCRIPTOR, ENTRY_SIZE, FIRST_PART_COUNT, HEADER, HEADER_HAS_ACCOUNTS, INSTRUMENT,
    KEY, LAYOUT_VERSION, MAGIC, PAGE, RING, ROUTE, SERIES,
};
use crate::{MonotonicNanos, bytes};

/// Layout versions that this reader understands: the current one and the two before it.
pub const READABLE_VERSIONS: RangeInclusive<u32> =
    if LAYOUT_VERSION > 3 { LAYOUT_VERSION - 2..=LAYOUT_VERSION } else { 1..=LAYOUT_VERSION };

/// Sanity limits: far above what a program writes, far below what would hurt the reader.
const DESCRIPTOR_LIMIT: u32 = 1 << 13;
const KEY_LIMIT: u32 = 1 << 16;
const RESOURCE_LIMIT: u32 = 1 << 20;
const ENTRY_LIMIT: u32 = 1 << 18;
const SERIES_LIMIT: u32 = 1 << 16;
const PROCESSOR_LIMIT: u32 = 1 << 12;
const FUNCTION_LIMIT: u32 = 1 << 20;
const FUNCTION_TEXT_LIMIT: u32 = 1 << 26;
const INSTRUMENT_LIMIT: u32 = 1 << 14;
const INSTRUMENT_BUCKET_LIMIT: u32 = 1 << 17;
const ACTIVE_LIMIT: u32 = 1 << 16; // a switch has 16 bits
const ROUTE_LIMIT: u32 = 1 << 12;
const RING_SIZES: RangeInclusive<u32> = 8 * ENTRY_SIZE as u32..=1 << 26;

/// Why a header is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The file does not begin with the magic number.
    #[error("it is not a tandem file")]
    Magic,
    /// The layout is too old or too new.
    #[error("its layout is version {0}, this agent reads {first} to {last}", first = READABLE_VERSIONS.start(), last = READABLE_VERSIONS.end())]
    Version(u32),
    /// The file has another size than its header says.
    #[error("its header says {said} bytes, the file has {actual}")]
    Size {
        /// What the header says.
        said: u64,
        /// What the file has.
        actual: u64,
    },
    /// A number is beyond reason.
    #[error("its header says {0} = {1}")]
    Number(&'static str, u64),
    /// A region does not lie inside the file.
    #[error("its {0} lie outside the file")]
    Region(&'static str),
}

/// How the kernel half finds the current goroutine's account in a process. The numbers are the program's own claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderFacts {
    /// `header.flags`.
    pub flags: u32,
    /// Account slots that the program can use.
    pub accounts_size: u32,
    /// Where a thread's g pointer lies, from its thread pointer.
    pub tls_g_offset: i64,
    /// Offset of `g.m`.
    pub g_m_offset: u32,
    /// Offset of `m.curg`.
    pub m_curg_offset: u32,
    /// Offset of the slot from g.
    pub slot_offset: u32,
    /// Offset of the account word from g.
    pub account_offset: u32,
    /// Run-time address of `runtime.g0`.
    pub g0_address: u64,
    /// Parts of the anatomy that the program tells apart; see [`HeaderFacts::tells`].
    pub part_count: u32,
    /// Where all goroutines are, and what of them.
    pub goroutines: GoroutineFacts,
}

/// How all goroutines of a process are found. The numbers are the program's own claim; all zero where it makes none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoroutineFacts {
    /// Address of the pointer to the array of their addresses.
    pub array_address: u64,
    /// Address of their number.
    pub count_address: u64,
    /// Offset from g of the bounds of its stack.
    pub stack_offset: u32,
    /// Of its status.
    pub status_offset: u32,
    /// Of its stack pointer while it does not run.
    pub sp_offset: u32,
    /// Of where it goes on.
    pub pc_offset: u32,
    /// Of its frame pointer.
    pub bp_offset: u32,
}

impl HeaderFacts {
    /// The program has accounts at all.
    pub fn has_accounts(&self) -> bool {
        self.flags & HEADER_HAS_ACCOUNTS != 0
    }

    /// The program tells a part of the anatomy from others, named by its index in [`PARTS`](crate::layout::PARTS).
    pub fn tells(&self, part: usize) -> bool {
        part < if self.part_count == 0 { FIRST_PART_COUNT } else { self.part_count as usize }
    }
}

/// A checked header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Layout version.
    pub version: u32,
    /// Process id as the program sees it (in its own PID namespace).
    pub pid: u32,
    /// When the program started.
    pub start: MonotonicNanos,
    /// What the kernel half needs.
    pub facts: HeaderFacts,
    /// `runtime.Version()`.
    pub go_version: String,
    /// Version of tandem that wove the program.
    pub tandem_version: String,
    /// Where things are.
    pub(crate) geometry: Geometry,
}

/// Checked places: every region lies inside the file and is aligned to 8 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub control: usize,
    pub descriptors: usize,
    pub descriptor_count: u32,
    pub keys: usize,
    pub key_count: u32,
    pub resource: usize,
    pub resource_size: u32,
    pub entries: usize,
    pub entry_count: u32,
    pub series: usize,
    pub series_count: u32,
    pub processor_count: u32,
    pub ring_headers: usize,
    pub rings: usize,
    pub ring_size: u32,
    /// `None` in programs of a layout that had none.
    pub functions: Option<FunctionGeometry>,
    /// `None` in programs of a layout that had none.
    pub instruments: Option<InstrumentGeometry>,
    /// `None` in programs of a layout that had none.
    pub routes: Option<RouteGeometry>,
}

/// Where the table of routes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteGeometry {
    pub routes: usize,
    pub route_count: u32,
}

/// Where the instruments and their buckets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InstrumentGeometry {
    pub instruments: u64,
    pub instrument_count: u32,
    pub buckets: u64,
    pub bucket_count: u32,
}

/// Where the parts of the functions' region are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FunctionGeometry {
    pub switches: usize,
    pub function_count: u32,
    pub active: usize,
    pub active_count: u32,
    pub texts: usize,
    pub text_size: u32,
    pub calls: usize,
    pub processor_count: u32,
}

impl Header {
    /// Checks the first page of a file of `file_size` bytes.
    pub fn parse(page: &[u8; PAGE], file_size: u64) -> Result<Self, HeaderError> {
        let number = |name| bytes::u32_at(page, HEADER.at(name));
        if bytes::u64_at(page, HEADER.at("magic")) != MAGIC {
            return Err(HeaderError::Magic);
        }
        let version = number("layout_version");
        if !READABLE_VERSIONS.contains(&version) {
            return Err(HeaderError::Version(version));
        }
        let said = bytes::u64_at(page, HEADER.at("file_size"));
        if said != file_size {
            return Err(HeaderError::Size { said, actual: file_size });
        }
        Ok(Self {
            version,
            pid: number("pid"),
            start: MonotonicNanos(bytes::u64_at(page, HEADER.at("start_monotonic"))),
            facts: HeaderFacts {
                flags: number("flags"),
                accounts_size: number("accounts_size"),
                tls_g_offset: bytes::u64_at(page, HEADER.at("tls_g_offset")).cast_signed(),
                g_m_offset: number("g_m_offset"),
                m_curg_offset: number("m_curg_offset"),
                slot_offset: number("slot_offset"),
                account_offset: number("account_offset"),
                g0_address: bytes::u64_at(page, HEADER.at("g0_address")),
                part_count: number("part_count"),
                goroutines: GoroutineFacts {
                    array_address: bytes::u64_at(page, HEADER.at("goroutines_address")),
                    count_address: bytes::u64_at(page, HEADER.at("goroutine_count_address")),
                    stack_offset: number("g_stack_offset"),
                    status_offset: number("g_status_offset"),
                    sp_offset: number("g_sp_offset"),
                    pc_offset: number("g_pc_offset"),
                    bp_offset: number("g_bp_offset"),
                },
            },
            go_version: bytes::padded_text(&page[HEADER.at("go_version")..][..32]),
            tandem_version: bytes::padded_text(&page[HEADER.at("tandem_version")..][..32]),
            geometry: Geometry::parse(page, file_size)?,
        })
    }

    /// Rings, one a processor.
    pub fn processor_count(&self) -> u32 {
        self.geometry.processor_count
    }
}

impl Geometry {
    fn parse(page: &[u8; PAGE], file_size: u64) -> Result<Self, HeaderError> {
        let count = |name, limit: u32| match bytes::u32_at(page, HEADER.at(name)) {
            number if number > limit => Err(HeaderError::Number(name, number.into())),
            number => Ok(number),
        };
        // A region's offset, when the region lies between the header and the end of the file.
        let region = |name, offset: u64, size: u64| {
            let end = offset.checked_add(size).ok_or(HeaderError::Region(name))?;
            if offset < PAGE as u64 || !offset.is_multiple_of(8) || end > file_size {
                return Err(HeaderError::Region(name));
            }
            usize::try_from(offset).map_err(|_| HeaderError::Region(name))
        };
        let offset = |name| bytes::u64_at(page, HEADER.at(name));
        let table = |entries: u32, size: usize| u64::from(entries) * size as u64;

        let descriptor_count = count("descriptor_count", DESCRIPTOR_LIMIT)?;
        let key_count = count("key_count", KEY_LIMIT)?;
        let resource_size = count("resource_size", RESOURCE_LIMIT)?;
        let entry_count = count("entry_count", ENTRY_LIMIT)?;
        let series_count = count("series_count", SERIES_LIMIT)?;
        let processor_count = count("processor_count", PROCESSOR_LIMIT)?;
        let ring_size = count("ring_size", *RING_SIZES.end())?;
        if !ring_size.is_power_of_two() || !RING_SIZES.contains(&ring_size) {
            return Err(HeaderError::Number("ring_size", ring_size.into()));
        }
        let ring_headers = region("ring headers", offset("rings_offset"), table(processor_count, RING.size))?;
        let rings_start = (ring_headers as u64 + table(processor_count, RING.size)).next_multiple_of(PAGE as u64);
        Ok(Self {
            control: region("control page", offset("control_offset"), CONTROL.size as u64)?,
            descriptors: region("descriptors", offset("descriptors_offset"), table(descriptor_count, DESCRIPTOR.size))?,
            descriptor_count,
            keys: region("keys", offset("keys_offset"), table(key_count, KEY.size))?,
            key_count,
            resource: region("resource text", offset("resource_offset"), resource_size.into())?,
            resource_size,
            entries: region("in-flight entries", offset("entries_offset"), table(entry_count, ENTRY_SIZE))?,
            entry_count,
            series: region("counts", offset("series_offset"), {
                table(processor_count, SERIES.size) * u64::from(series_count)
            })?,
            series_count,
            processor_count,
            ring_headers,
            rings: region("rings", rings_start, u64::from(processor_count) * u64::from(ring_size))?,
            ring_size,
            functions: FunctionGeometry::parse(page, file_size, processor_count)?,
            instruments: match offset("instruments_offset") {
                0 => None,
                start => {
                    let instrument_count = count("instrument_count", INSTRUMENT_LIMIT)?;
                    let bucket_count = count("bucket_count", INSTRUMENT_BUCKET_LIMIT)?;
                    let size = table(instrument_count, INSTRUMENT.size);
                    region("instruments", start, size + table(bucket_count, BUCKET.size))?;
                    Some(InstrumentGeometry {
                        instruments: start,
                        instrument_count,
                        buckets: start + size,
                        bucket_count,
                    })
                }
            },
            routes: match offset("routes_offset") {
                0 => None,
                start => {
                    let route_count = count("route_count", ROUTE_LIMIT)?;
                    let routes = region("routes", start, table(route_count, ROUTE.size))?;
                    Some(RouteGeometry { routes, route_count })
                }
            },
        })
    }
}

impl FunctionGeometry {
    fn parse(page: &[u8; PAGE], file_size: u64, processor_count: u32) -> Result<Option<Self>, HeaderError> {
        let start = bytes::u64_at(page, HEADER.at("functions_offset"));
        if start == 0 {
            return Ok(None);
        }
        let count = |name, limit: u32| match bytes::u32_at(page, HEADER.at(name)) {
            number if number > limit => Err(HeaderError::Number(name, number.into())),
            number => Ok(number),
        };
        let function_count = count("function_count", FUNCTION_LIMIT)?;
        let text_size = count("function_text_size", FUNCTION_TEXT_LIMIT)?;
        let active_count = count("active_count", ACTIVE_LIMIT)?;
        let page_up = |size: u64| size.next_multiple_of(PAGE as u64);
        let switches = page_up(u64::from(function_count) * 2);
        let active = page_up(u64::from(active_count) * ACTIVE.size as u64);
        let texts = page_up(text_size.into());
        let calls = u64::from(processor_count) * u64::from(active_count) * CALLS.size as u64;
        if start < PAGE as u64 || !start.is_multiple_of(8) || start > file_size {
            return Err(HeaderError::Region("functions"));
        }
        let end = [switches, active, texts, calls].into_iter().try_fold(start, u64::checked_add);
        if end.is_none_or(|end| end > file_size) {
            return Err(HeaderError::Region("functions"));
        }
        let place = |offset: u64| usize::try_from(offset).map_err(|_| HeaderError::Region("functions"));
        Ok(Some(Self {
            switches: place(start)?,
            function_count,
            active: place(start + switches)?,
            active_count,
            texts: place(start + switches + active)?,
            text_size,
            calls: place(start + switches + active + texts)?,
            processor_count,
        }))
    }
}
