//! Where a program's bytes come from: a file that is read by position, never mapped (who shortens a mapped file ends its
//! reader), or bytes in memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes by position.
#[derive(Debug, Clone)]
pub enum Source {
    File(Arc<File>),
    Bytes(Arc<[u8]>),
}

impl Source {
    /// Reads as many bytes as there are, at most as many as asked for.
    pub fn read_at(&self, mut offset: u64, mut into: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while !into.is_empty() {
            let count = match self {
                Source::File(file) => match file.read_at(into, offset) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    other => other?,
                },
                Source::Bytes(bytes) => {
                    let from = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
                    let count = from.len().min(into.len());
                    into[..count].copy_from_slice(&from[..count]);
                    count
                }
            };
            if count == 0 {
                break;
            }
            read += count;
            offset += count as u64;
            into = &mut into[count..];
        }
        Ok(read)
    }

    fn length(&self) -> io::Result<u64> {
        match self {
            Source::File(file) => Ok(file.metadata()?.len()),
            Source::Bytes(bytes) => Ok(bytes.len() as u64),
        }
    }
}

/// The same as a stream, which may be read for so many bytes: tables that contradict each other could name the same bytes
/// over and over, and each time they would be kept.
#[derive(Debug)]
pub struct Stream {
    source: Source,
    position: u64,
    left: u64,
}

impl Stream {
    pub fn new(source: Source, left: u64) -> Self {
        Self { source, position: 0, left }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(into.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        let read = self.source.read_at(self.position, into)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Stream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let moved = |from: u64, by: i64| from.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput);
        self.position = match to {
            SeekFrom::Start(position) => position,
            SeekFrom::End(by) => moved(self.source.length()?, by)?,
            SeekFrom::Current(by) => moved(self.position, by)?,
        };
        Ok(self.position)
    }
}
