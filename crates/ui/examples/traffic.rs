//! Serves the page over made-up traffic, for working on the page: `cargo run --package ui --example traffic`, and beside it
//! `npm run dev` in `web/`. `traffic REQUESTS ADDRESS SPANS`; with SPANS there is a trace of so many, `/trace/5a`. Ends when Enter is
//! pressed, and its store with it.

#[path = "../../store/tests/fixture/mod.rs"]
mod fixture;
#[path = "../tests/traffic/mod.rs"]
mod traffic;

use store::Reader;
use traffic::{Traffic, large};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let requests = arguments.next().map_or(Ok(600), |count| count.parse())?;
    let address = ui::parse_address(&arguments.next().unwrap_or_else(|| ui::DEFAULT_ADDRESS.to_string()))?;
    let spans = arguments.next().map_or(Ok(0), |count| count.parse())?;
    let folder = tempfile::TempDir::new()?;
    Traffic::of(requests).write(folder.path());
    large::spans(spans).chunks(5000).for_each(|spans| fixture::write(folder.path(), spans));
    let server = ui::serve(Reader::open(folder.path())?, address)?;
    println!("{}  store {}", server.url(), folder.path().display());
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}
