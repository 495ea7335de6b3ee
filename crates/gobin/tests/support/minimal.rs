//! The smallest file that is a Go program to its readers: code, a table of functions, what the go command records, and data.
//! Shared by tests and fuzzing, which put anything into it.

/// Where code and data are loaded.
pub const TEXT: u64 = 0x40_1000;
pub const DATA: u64 = 0x80_0000;

const PAGE: usize = 0x1000;

/// A program to be.
#[derive(Debug, Default, Clone)]
pub struct Program {
    pub text: Vec<u8>,
    /// Where functions begin in the code, in order, with their names.
    pub functions: Vec<(u32, String)>,
    /// Loaded at the address that [`Program::data_address`] tells.
    pub data: Vec<u8>,
}

impl Program {
    /// Adds a function, at a multiple of 32; returns its address.
    #[allow(dead_code, reason = "fuzzing adds none")]
    pub fn function(&mut self, name: &str, code: &[u8]) -> u64 {
        let at = self.text.len().next_multiple_of(32);
        self.text.resize(at, 0xcc);
        self.text.extend_from_slice(code);
        self.functions.push((at as u32, name.to_owned()));
        TEXT + at as u64
    }

    /// Where `data` will lie.
    pub fn data_address(&self) -> u64 {
        DATA + self.head(0, 0).len().next_multiple_of(16) as u64
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut data = self.head(self.data_address(), self.data.len() as u64);
        data.resize(data.len().next_multiple_of(16), 0);
        data.extend_from_slice(&self.data);
        let data_offset = PAGE + self.text.len().next_multiple_of(PAGE);
        let mut file = Vec::new();
        file.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        file.extend([2u16, 62].iter().flat_map(|half| half.to_le_bytes())); // an executable for amd64
        file.extend(1u32.to_le_bytes());
        file.extend([TEXT, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
        file.extend(0u32.to_le_bytes());
        file.extend([64u16, 56, 2, 64, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
        for (flags, offset, address, size) in [(5u32, PAGE, TEXT, self.text.len()), (6, data_offset, DATA, data.len())]
        {
            file.extend(1u32.to_le_bytes());
            file.extend(flags.to_le_bytes());
            let words = [offset as u64, address, address, size as u64, size as u64, PAGE as u64];
            file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
        file.resize(PAGE, 0);
        file.extend_from_slice(&self.text);
        file.resize(data_offset, 0);
        file.extend(data);
        file
    }

    /// What comes before the program's own data: the go command's record, the module's data, the table of functions.
    fn head(&self, data_address: u64, data_size: u64) -> Vec<u8> {
        let mut head = b"\xff Go buildinf:\x08\x02".to_vec();
        head.resize(32, 0);
        head.push(8);
        head.extend_from_slice(b"go1.26.8");
        head.push(0);
        head.resize(64, 0);

        let module = head.len();
        head.resize(module + 400, 0);
        let table = head.len();
        let table_address = DATA + table as u64;
        let mut names = vec![0];
        let offsets: Vec<u32> = self.functions.iter().map(|(_, name)| push_name(&mut names, name)).collect();
        names.resize(names.len().next_multiple_of(8), 0);
        let count = self.functions.len();
        let functions = 72 + names.len();
        head.extend_from_slice(&[0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
        let places = [count, 0, 0, 72, functions, functions, functions, functions].map(|word| word as u64);
        head.extend(places.iter().flat_map(|word| word.to_le_bytes()));
        head.extend_from_slice(&names);
        let records = 8 * count + 8;
        for (index, (start, _)) in self.functions.iter().enumerate() {
            head.extend(start.to_le_bytes());
            head.extend(((records + 44 * index) as u32).to_le_bytes());
        }
        head.extend((self.text.len() as u32).to_le_bytes());
        head.extend(0u32.to_le_bytes());
        for ((start, _), name) in self.functions.iter().zip(offsets) {
            let mut record = [0; 44];
            record[..4].copy_from_slice(&start.to_le_bytes());
            record[4..8].copy_from_slice(&name.to_le_bytes());
            head.extend_from_slice(&record);
        }

        let mut put = |offset: usize, word: u64| {
            head[module + offset..module + offset + 8].copy_from_slice(&word.to_le_bytes());
        };
        put(0, table_address);
        put(8, table_address + 72);
        put(176, TEXT);
        put(296, data_address);
        put(304, data_address + data_size);
        head
    }
}

fn push_name(names: &mut Vec<u8>, name: &str) -> u32 {
    let at = names.len() as u32;
    names.extend_from_slice(name.as_bytes());
    names.push(0);
    at
}
