//! What pages show of `agent.yaml` is taken by the agent.

use std::collections::BTreeMap;

use agent::Settings;
use serde_json::Value;

use crate::pages::{Page, blocks_of};

/// Blocks of `yaml` whose first key is one of the file's, and that the agent refuses.
pub fn refused(pages: &[Page]) -> Vec<String> {
    let schema = agent::settings::schema();
    let keys = schema["properties"].as_object().expect("the keys of the file");
    let mut problems = Vec::new();
    for page in pages {
        for (line, text) in blocks_of(&page.text, "yaml") {
            let content: BTreeMap<String, Value> = match serde_saphyr::from_str(&text) {
                Ok(content) => content,
                Err(error) => {
                    problems.push(format!("{}:{line}: no YAML: {error}", page.name));
                    continue;
                }
            };
            let is_ours = content.keys().any(|key| keys.contains_key(key));
            if let Some(problem) = is_ours.then(|| Settings::parse(&text).err()).flatten() {
                problems.push(format!("{}:{line}: {problem:?}", page.name));
            }
        }
    }
    problems
}
