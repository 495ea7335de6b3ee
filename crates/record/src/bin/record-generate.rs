//! Writes the files that are derived from the layout. Run it from anywhere in the repository after a change of `layout.rs`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (path, text) in record::generate::files() {
        let target = root.join(path);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&target, text)?;
        println!("{path}");
    }
    Ok(())
}
