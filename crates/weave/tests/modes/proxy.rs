//! A module proxy that is a folder: what the tests fetch is made here, so they need no network.

use std::fs;
use std::path::PathBuf;

/// `GOPROXY=file://…` for this folder.
pub struct Proxy {
    dir: PathBuf,
}

impl Proxy {
    pub fn new(dir: PathBuf) -> Proxy {
        fs::create_dir_all(&dir).expect("writable");
        Proxy { dir }
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.dir.display())
    }

    /// Publishes a version; `files` holds its go.mod.
    pub fn publish(&self, module: &str, version: &str, files: &[(&str, &str)]) {
        let versions = self.dir.join(module).join("@v");
        fs::create_dir_all(&versions).expect("writable");
        let write = |name: String, content: &[u8]| fs::write(versions.join(name), content).expect("writable");
        let known = fs::read_to_string(versions.join("list")).unwrap_or_default();
        write("list".to_owned(), format!("{known}{version}\n").as_bytes());
        let info = format!("{{\"Version\":\"{version}\",\"Time\":\"2024-01-02T03:04:05Z\"}}");
        write(format!("{version}.info"), info.as_bytes());
        let manifest = files.iter().find(|(name, _)| *name == "go.mod").expect("a module has one").1;
        write(format!("{version}.mod"), manifest.as_bytes());
        let named: Vec<(String, &str)> =
            files.iter().map(|(name, text)| (format!("{module}@{version}/{name}"), *text)).collect();
        write(format!("{version}.zip"), &archive(&named));
    }
}

/// A zip file in which nothing is compressed.
fn archive(files: &[(String, &str)]) -> Vec<u8> {
    let (mut output, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let size = (text.len() as u32).to_le_bytes();
        // Version 2.0, no flags, stored, a time that does not matter, then sum, sizes and the name's length.
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 33, 0];
        common.extend_from_slice(&checksum(text.as_bytes()).to_le_bytes());
        common.extend_from_slice(&[size, size].concat());
        common.extend_from_slice(&(name.len() as u16).to_le_bytes());
        common.extend_from_slice(&[0, 0]);
        directory.extend_from_slice(b"PK\x01\x02\x14\x00");
        directory.extend_from_slice(&common);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&(output.len() as u32).to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
        output.extend_from_slice(b"PK\x03\x04");
        output.extend_from_slice(&common);
        output.extend_from_slice(name.as_bytes());
        output.extend_from_slice(text.as_bytes());
    }
    let (start, length, count) = (output.len() as u32, directory.len() as u32, (files.len() as u16).to_le_bytes());
    output.extend_from_slice(&directory);
    output.extend_from_slice(b"PK\x05\x06\x00\x00\x00\x00");
    output.extend_from_slice(&[count, count].concat());
    output.extend_from_slice(&length.to_le_bytes());
    output.extend_from_slice(&start.to_le_bytes());
    output.extend_from_slice(&[0, 0]);
    output
}

fn checksum(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}
