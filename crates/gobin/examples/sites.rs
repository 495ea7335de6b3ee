//! Shows the places for probes of functions, by every rule: `sites PROGRAM [FUNCTION...]`.

use std::path::Path;
use std::time::Instant;

use gobin::{Binary, EndRule, Offsets, sites, wanted};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which program?")?;
    let start = Instant::now();
    let binary = Binary::open(Path::new(&path))?;
    println!("{} with {}, read in {:?}", path, binary.go_version(), start.elapsed());
    for name in arguments {
        let Some(function) = binary.function(&name) else {
            println!("{name}: not in the program");
            continue;
        };
        println!("{name} at {:#x}, {} bytes", function.address, function.size);
        for rule in [EndRule::Inside, EndRule::ReturnSites, EndRule::Return] {
            match sites(&binary, &function, rule) {
                Err(error) => println!("  {rule:?}: {error}"),
                Ok(found) => {
                    let recovers = if found.recovers { ", recovers" } else { "" };
                    println!("  {rule:?}: begins {:x?} {:?}{recovers}", found.begin, found.begin_when.code());
                    for end in found.ends {
                        println!("    {:x?} when {}", end.site, end.when.code());
                    }
                }
            }
        }
    }
    println!("after {:?}", start.elapsed());
    let offsets = Offsets::of(&binary);
    for wanted in wanted() {
        match offsets.source(wanted.structure) {
            None => println!("{}: {}", wanted.structure, offsets.why_not(wanted.structure).unwrap_or_default()),
            Some(source) => {
                let fields = wanted.fields.split(' ');
                let fields: Vec<_> = fields.map(|field| (field, offsets.field(wanted.structure, field))).collect();
                println!("{} ({source:?}, {:?} bytes): {fields:?}", wanted.structure, offsets.size(wanted.structure));
            }
        }
    }
    println!("after {:?}", start.elapsed());
    Ok(())
}
