//! `balance:` in `agent.yaml`: spans to all addresses of the endpoint's name, all of a trace to the same one.

use std::time::Duration;

use deliver::balance::Balance;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::settings::Problem;
use crate::settings::values::Wait;

/// Spans go to all addresses that the name of the traces' endpoint resolves to, all spans of a trace to the same one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BalanceSettings {
    /// How often the name is resolved [default: 10s].
    #[serde(default)]
    #[schemars(with = "Option<Wait>")]
    pub resolve: Option<Spanned<Wait>>,
    /// An address at which nobody has answered for so long gets nothing until somebody answers there again [default: 5s].
    #[serde(default)]
    #[schemars(with = "Option<Wait>")]
    pub away_after: Option<Spanned<Wait>>,
}

impl BalanceSettings {
    /// What it asks for.
    pub fn balance(&self) -> Result<Balance, Problem> {
        let default = Balance::default();
        let within = |given: &Option<Spanned<Wait>>, default: Duration, least: u64, most: u64| match given {
            Some(wait) if !(Duration::from_millis(least)..=Duration::from_millis(most)).contains(&wait.value.0) => {
                let text = format!("write {least}ms to {}m, not {:?}", most / 60_000, wait.value.0);
                Err(Problem::at(wait, text))
            }
            Some(wait) => Ok(wait.value.0),
            None => Ok(default),
        };
        Ok(Balance {
            resolve: within(&self.resolve, default.resolve, 100, 3_600_000)?,
            away_after: within(&self.away_after, default.away_after, 100, 600_000)?,
        })
    }
}
