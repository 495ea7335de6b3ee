//! The half of the queue that writes: segments are appended to, marked as far as they are delivered, and removed.
//!
//! Only the queue's keeper calls this, so nothing here is shared.

use std::fs::{self, File};
use std::io::{self, ErrorKind, IoSlice, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::folder::Folder;
use super::segment::{self, HEAD, Head, Piece, Pieces, RECORD_HEAD};
use crate::Signal;

/// A place in the queue's files. Later ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The segment's number.
    pub segment: u64,
    /// Offset in it.
    pub offset: u64,
}

/// What is there when a queue is opened.
#[derive(Debug, Default)]
pub struct Found {
    /// Segments to be read, oldest first.
    pub segments: Vec<FoundSegment>,
    /// Bytes of segments that a newer Tandem has written, and how many these are.
    pub newer: (u64, u64),
    /// The newest version among them.
    pub newer_version: u32,
    /// One that cannot be read now, which stays.
    pub unreadable: Option<(u64, io::Error)>,
}

/// A segment of an earlier run.
#[derive(Clone, Copy, Debug)]
pub struct FoundSegment {
    /// Its number.
    pub number: u64,
    /// Its length.
    pub length: u64,
    /// What has not been delivered begins here.
    pub done: u64,
    /// Spans, log records or samples from there on.
    pub records: u64,
    /// When the first of them was put there.
    pub unix_nanos: u64,
}

/// Writes.
#[derive(Debug)]
pub struct Disk {
    folder: Folder,
    signal: Signal,
    segment_bytes: u64,
    active: Option<Active>,
    next_number: u64,
}

#[derive(Debug)]
struct Active {
    file: File,
    number: u64,
    length: u64,
    records: u32,
    unsynced: bool,
}

/// Now, by the wall clock: only ever shown to people.
pub fn unix_nanos() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

impl Disk {
    /// In this folder, in segments of about this size.
    pub fn new(folder: Folder, signal: Signal, segment_bytes: u64) -> Self {
        Self { folder, signal, segment_bytes, active: None, next_number: 0 }
    }

    /// Where it is.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Looks at what earlier runs have left. What is empty goes.
    pub fn find(&mut self) -> io::Result<Found> {
        let mut found = Found::default();
        for number in self.folder.segments()? {
            self.next_number = self.next_number.max(number.saturating_add(1));
            let file = match fs::read(self.folder.segment(number)) {
                Ok(file) => Bytes::from(file),
                Err(error) => {
                    found.unreadable = Some((number, error));
                    continue;
                }
            };
            let length = file.len() as u64;
            let done = match segment::read_head(&file) {
                Head::Newer(version) => {
                    found.newer = (found.newer.0 + length, found.newer.1 + 1);
                    found.newer_version = found.newer_version.max(version);
                    continue;
                }
                Head::Known { done } => done,
                Head::Damaged => HEAD,
            };
            if done >= file.len() {
                self.remove(number)?;
                continue;
            }
            let (mut records, mut first) = (0, None);
            for piece in Pieces::of(file.slice(done..), done as u64) {
                if let Piece::Record(record) = piece {
                    records += u64::from(record.records);
                    first.get_or_insert(record.unix_nanos);
                }
            }
            let unix_nanos = first.unwrap_or_else(unix_nanos);
            found.segments.push(FoundSegment { number, length, done: done as u64, records, unix_nanos });
        }
        Ok(found)
    }

    /// What a message takes on disk, at most.
    pub fn size(message: &[u8]) -> u64 {
        (HEAD + RECORD_HEAD + message.len()) as u64
    }

    /// Appends a message: where it begins and ends. When this fails nothing of it is there.
    pub fn append(&mut self, message: &[u8], records: u32) -> io::Result<(Place, Place)> {
        let size = (RECORD_HEAD + message.len()) as u64;
        if self.active.as_ref().is_some_and(|active| {
            active.length > HEAD as u64 && active.length + size > self.segment_bytes
                || active.records.checked_add(records).is_none()
        }) {
            self.close()?;
        }
        if self.active.is_none() {
            let number = self.next_number;
            let mut file = self.folder.create(number)?;
            self.next_number += 1;
            if let Err(error) = file.write_all(&segment::head(self.signal as u32)) {
                let _ = self.remove(number);
                return Err(error);
            }
            self.active = Some(Active { file, number, length: HEAD as u64, records: 0, unsynced: true });
        }
        let Some(active) = &mut self.active else { return Err(ErrorKind::NotFound.into()) };
        let head = segment::record_head(active.length, message, records, active.records, unix_nanos());
        if let Err(error) = write(&mut active.file, &head, message) {
            // Should even this fail, what is there is no record, and the next one goes elsewhere.
            let cut =
                active.file.set_len(active.length).and_then(|()| active.file.seek(SeekFrom::Start(active.length)));
            if cut.is_err() {
                self.active = None;
            }
            return Err(error);
        }
        let begin = Place { segment: active.number, offset: active.length };
        active.length += size;
        active.records += records;
        active.unsynced = true;
        Ok((begin, Place { offset: active.length, ..begin }))
    }

    /// Nothing more is written into the segment at the end.
    fn close(&mut self) -> io::Result<()> {
        self.sync()?;
        self.active = None;
        Ok(())
    }

    /// What has been written survives the machine's end, too.
    pub fn sync(&mut self) -> io::Result<()> {
        if let Some(active) = &mut self.active
            && active.unsynced
        {
            active.file.sync_data()?;
            self.folder.sync()?;
            active.unsynced = false;
        }
        Ok(())
    }

    /// The number of the segment that is written.
    pub fn active(&self) -> Option<u64> {
        self.active.as_ref().map(|active| active.number)
    }

    /// Everything before this offset of a segment has been delivered.
    pub fn mark(&self, place: Place) -> io::Result<()> {
        let done = segment::done(place.offset);
        match &self.active {
            Some(active) if active.number == place.segment => active.file.write_all_at(&done, segment::DONE),
            _ => {
                let file = File::options().write(true).open(self.folder.segment(place.segment))?;
                file.write_all_at(&done, segment::DONE)
            }
        }
    }

    /// Removes a segment.
    pub fn remove(&mut self, number: u64) -> io::Result<()> {
        self.active.take_if(|active| active.number == number);
        match fs::remove_file(self.folder.segment(number)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Both, in one call of the system as long as that takes all of it.
fn write(file: &mut File, head: &[u8], message: &[u8]) -> io::Result<()> {
    let written = file.write_vectored(&[IoSlice::new(head), IoSlice::new(message)])?;
    if written < head.len() {
        file.write_all(&head[written..])?;
    }
    file.write_all(&message[written.saturating_sub(head.len())..])
}
