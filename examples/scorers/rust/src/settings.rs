//! The scorer's configuration: TOML.

use serde::Deserialize;

/// How an answer is held to its context.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The metadata that holds what was retrieved. Default `context`.
    pub context: Vec<String>,
    /// Words of a sentence that are looked at together. Default 2: pairs, so that the context's words in another order are other words.
    pub words: usize,
    /// Sentences of fewer words claim nothing. Default 4.
    pub shortest: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { context: vec!["context".to_owned()], words: 2, shortest: 4 }
    }
}

impl Settings {
    /// Reads the configuration's text.
    ///
    /// # Errors
    /// In words, naming the key and what would be right.
    pub fn read(text: &str) -> Result<Self, String> {
        let read: Self = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        if !(1..=8).contains(&read.words) {
            return Err(format!("words: {} is none of 1 to 8", read.words));
        }
        if !(1..=100).contains(&read.shortest) {
            return Err(format!("shortest: {} is none of 1 to 100", read.shortest));
        }
        if read.context.is_empty() {
            return Err("context: no name of metadata; the default is [\"context\"]".to_owned());
        }
        Ok(read)
    }
}
