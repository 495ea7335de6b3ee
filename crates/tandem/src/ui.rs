//! `tandem ui`: the page for a store, without an agent.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use store::Reader;

use crate::page::PageHost;
use crate::terminal;
use crate::traces::StoreFolder;

/// Show the traces in the store on a page, until Ctrl-C.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Ui {
    /// Where to listen: an address and a port, or a port of this machine; port 0 is any free one.
    #[arg(value_name = "ADDRESS", default_value_t = ::ui::DEFAULT_ADDRESS, value_parser = ::ui::parse_address)]
    address: SocketAddr,
    /// Let the page switch functions on that were woven dormant into programs that run (docs/functions.md); else it only shows.
    #[arg(long)]
    ui_enable: bool,
    #[command(flatten)]
    store: StoreFolder,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem ui                  # at 127.0.0.1:8317; prints the address
  tandem ui 9000             # at another port of this machine
  tandem ui 127.0.0.1:0      # at any free port

Exit codes: 0 after Ctrl-C; 1 when the store cannot be read or the address is taken.";

impl Ui {
    pub fn run(self) -> ExitCode {
        terminal::report(|out| {
            let mut signals = Signals::new([SIGINT, SIGTERM])?;
            let store = self.store.path();
            let host = PageHost { store: store.clone(), metrics: None, problems: None, may_enable: self.ui_enable };
            let server = ::ui::serve_with(Reader::open(&store)?, Arc::new(host), self.address)?;
            writeln!(out, "{}", server.url())?;
            out.flush()?;
            if server.is_exposed() {
                eprintln!(
                    "tandem: warning: who can reach {} and knows that token can read the traces",
                    server.address()
                );
            }
            signals.forever().next();
            Ok(ExitCode::SUCCESS)
        })
    }
}
