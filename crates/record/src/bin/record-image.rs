//! Keeps what is in a program's memory: `record-image /proc/PID/fd/N FILE` (scripts/layout-image.sh calls it).

use std::fs::File;
use std::io;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(memory), Some(file), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: record-image MEMORY FILE"));
    };
    std::fs::write(file, record::image::save(&File::open(memory)?)?)
}
