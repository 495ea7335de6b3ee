//! Scenario: editors and people read `docs/agent.schema.json`. Guarantee: it is what the types that read `agent.yaml` say.

use std::fs;
use std::path::Path;

#[test]
fn the_published_schema_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/agent.schema.json");
    let now = agent::settings::schema();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text = serde_json::to_string_pretty(&now).expect("a schema is plain data") + "\n";
        fs::write(&path, text).expect("the schema can be written");
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    let published: serde_json::Value = serde_json::from_str(&published).unwrap_or_default();
    assert!(published == now, "docs/agent.schema.json differs from the types; UPDATE_GOLDEN=1 writes it anew");
}
