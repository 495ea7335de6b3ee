//! What a program holds for debuggers, where nobody has taken it out.

use std::collections::HashMap;
use std::io::Read;

use flate2::read::ZlibDecoder;
use gimli::{AttributeValue, DebugAbbrev, DebugInfo, DebugStr, EndianSlice, LittleEndian, constants};

use super::{Layout, Wanted};
use crate::binary::{Binary, DebugSection};

/// Longer sections are not read.
const LONGEST: u64 = 256 << 20;
/// What is read of the lists of abbreviations, which units share.
const MOST_ABBREVIATIONS: usize = 512 << 20;

/// The layouts that are wanted; empty where there is nothing for debuggers, or where it is broken.
pub fn layouts(binary: &Binary, wanted: &[Wanted]) -> HashMap<&'static str, Layout> {
    let mut found = HashMap::new();
    let section =
        |name| binary.debug().iter().find(|section| section.name == name).and_then(|section| read(binary, section));
    let (Some(info), Some(abbreviations)) = (section(".debug_info"), section(".debug_abbrev")) else { return found };
    let strings = section(".debug_str").unwrap_or_default();
    let by_name = wanted.iter().map(|wanted| (wanted.structure.as_bytes(), wanted.structure)).collect();
    let dwarf = Dwarf {
        info: DebugInfo::new(&info, LittleEndian),
        abbreviations: DebugAbbrev::new(&abbreviations, LittleEndian),
        abbreviations_length: abbreviations.len(),
        strings: DebugStr::new(&strings, LittleEndian),
        by_name,
    };
    // What was found before the place where it is broken is true nevertheless.
    let _ = dwarf.find(&mut found);
    found
}

type Slice<'a> = EndianSlice<'a, LittleEndian>;

struct Dwarf<'a> {
    info: DebugInfo<Slice<'a>>,
    abbreviations: DebugAbbrev<Slice<'a>>,
    abbreviations_length: usize,
    strings: DebugStr<Slice<'a>>,
    by_name: HashMap<&'a [u8], &'static str>,
}

impl<'a> Dwarf<'a> {
    fn find(&self, found: &mut HashMap<&'static str, Layout>) -> gimli::Result<()> {
        let mut units = self.info.units();
        let mut left = MOST_ABBREVIATIONS;
        let mut last = None;
        while let Some(unit) = units.next()? {
            let offset = unit.debug_abbrev_offset();
            let (_, abbreviations) = match last.take_if(|(at, _)| *at == offset) {
                Some(same) => last.insert(same),
                None => {
                    // Where a list ends is only known when it was read.
                    let longest = self.abbreviations_length.saturating_sub(offset.0);
                    left = left.checked_sub(longest).ok_or(gimli::Error::OffsetOutOfBounds(0))?;
                    last.insert((offset, unit.abbreviations(&self.abbreviations)?))
                }
            };
            let mut entries = unit.entries_raw(abbreviations, None)?;
            // The structure whose fields come next, and how deep it lies.
            let mut open: Option<(&'static str, isize, Layout)> = None;
            while !entries.is_empty() {
                let depth = entries.next_depth();
                if let Some((structure, _, layout)) = open.take_if(|(_, at, _)| depth <= *at) {
                    found.insert(structure, layout);
                    if found.len() == self.by_name.len() {
                        return Ok(());
                    }
                }
                let Some(abbreviation) = entries.read_abbreviation()? else { continue };
                let is_structure = abbreviation.tag() == constants::DW_TAG_structure_type;
                let is_field = abbreviation.tag() == constants::DW_TAG_member && open.is_some();
                if !is_structure && !is_field {
                    entries.skip_attributes(abbreviation.attributes())?;
                    continue;
                }
                let (mut name, mut size, mut place) = (None, None, None);
                for &attribute in abbreviation.attributes() {
                    let attribute = entries.read_attribute(attribute)?;
                    match attribute.name() {
                        constants::DW_AT_name => name = self.text(attribute.value()),
                        constants::DW_AT_byte_size => size = attribute.udata_value(),
                        constants::DW_AT_data_member_location => place = attribute.udata_value(),
                        _ => {}
                    }
                }
                if is_structure {
                    let structure = name.and_then(|name| self.by_name.get(name));
                    let size = size.and_then(|size| u32::try_from(size).ok());
                    open = structure
                        .zip(size)
                        .map(|(&structure, size)| (structure, depth, Layout { size: Some(size), ..Layout::default() }));
                } else if let Some((_, at, layout)) = &mut open
                    && depth == *at + 1
                    && let (Some(name), Some(place)) = (name, place.and_then(|place| u32::try_from(place).ok()))
                {
                    layout.fields.push((String::from_utf8_lossy(name).into_owned(), place));
                }
            }
            found.extend(open.map(|(structure, _, layout)| (structure, layout)));
        }
        Ok(())
    }

    fn text(&self, value: AttributeValue<Slice<'a>>) -> Option<&'a [u8]> {
        match value {
            AttributeValue::String(text) => Some(text.slice()),
            AttributeValue::DebugStrRef(offset) => Some(self.strings.get_str(offset).ok()?.slice()),
            _ => None,
        }
    }
}

/// A section, unpacked.
fn read(binary: &Binary, section: &DebugSection) -> Option<Vec<u8>> {
    if section.file_size > LONGEST {
        return None;
    }
    let bytes = binary.file_bytes(section.file_offset, section.file_size)?;
    let Some(size) = section.unpacked else { return Some(bytes) };
    let mut unpacked = Vec::new();
    ZlibDecoder::new(&bytes[..]).take(size.min(LONGEST)).read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}
