//! How much of what an answer says is in its context.
//!
//! A sentence is grounded by the share of its runs of content words that the context has as well (as in ROUGE-N's precision), and not at all if it
//! has a number that the context hasn't: numbers are what models invent most easily, and what nobody should.

use std::collections::HashSet;

use unicode_segmentation::UnicodeSegmentation;

use crate::settings::Settings;

/// Words that say nothing by themselves.
const EMPTY_WORDS: [&str; 48] = [
    "a", "about", "also", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "did", "do", "does", "for",
    "from", "had", "has", "have", "he", "her", "his", "in", "is", "it", "its", "of", "on", "or", "she", "so", "than",
    "that", "the", "their", "there", "these", "they", "this", "to", "was", "were", "which", "who", "will", "with",
];

/// Endings that are taken off, so that `lies` and `lie`, `opened` and `open` are one word.
const ENDINGS: [&str; 6] = ["ing", "ies", "ed", "es", "s", "'s"];
/// What must be left of a word without its ending.
const STEM_CHARS_MIN: usize = 3;

/// The mean over an answer's sentences of how well each is grounded, weighted by their words. None where it has no sentence of enough words.
pub fn share(context: &[&str], answer: &str, settings: &Settings) -> Option<f64> {
    let mut known = HashSet::new();
    let mut numbers = HashSet::new();
    for text in context {
        for sentence in text.unicode_sentences() {
            let words = content_words(sentence);
            numbers.extend(words.iter().filter(|word| is_number(word)).cloned());
            // Shorter runs too, since an answer's sentence may have no more words.
            for length in 1..=settings.words {
                known.extend(words.windows(length).map(<[String]>::to_vec));
            }
        }
    }
    let (mut grounded, mut weight) = (0.0, 0.0);
    for sentence in answer.unicode_sentences().filter(|sentence| sentence.unicode_words().count() >= settings.shortest)
    {
        let words = content_words(sentence);
        if words.is_empty() {
            continue;
        }
        weight += words.len() as f64;
        if words.iter().any(|word| is_number(word) && !numbers.contains(word)) {
            continue;
        }
        let length = settings.words.min(words.len());
        let runs = words.windows(length).count();
        let found = words.windows(length).filter(|run| known.contains(*run)).count();
        // Sentences of the answer join what the context says in several: so a single word counts for something.
        let alone = words.iter().filter(|word| known.contains(std::slice::from_ref(*word))).count();
        let share = (found as f64 / runs as f64 + alone as f64 / words.len() as f64) / 2.0;
        grounded += share * words.len() as f64;
    }
    (weight > 0.0).then(|| grounded / weight)
}

fn content_words(sentence: &str) -> Vec<String> {
    let words = sentence.unicode_words().map(str::to_lowercase);
    words.filter(|word| EMPTY_WORDS.binary_search(&word.as_str()).is_err()).map(stem).collect()
}

fn stem(word: String) -> String {
    let kept = ENDINGS
        .iter()
        .find_map(|ending| word.strip_suffix(ending).filter(|kept| kept.chars().count() >= STEM_CHARS_MIN));
    kept.map_or_else(|| word.clone(), str::to_owned)
}

/// Whether a word is a number, as in `1,889` or `330.5`, and not a name such as `B2`.
fn is_number(word: &str) -> bool {
    word.chars().all(|c| c.is_numeric() || matches!(c, '.' | ',')) && word.contains(char::is_numeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_words_are_sorted() {
        assert!(EMPTY_WORDS.is_sorted());
    }

    #[test]
    fn words_are_compared_by_their_stems() {
        assert_eq!(
            content_words("The towers of Paris opened in 1,889."),
            ["tower", "paris", "open", "1,889"].map(stem_of)
        );
        assert!(is_number("330.5") && is_number("1,889") && !is_number("B2") && !is_number("."));
    }

    fn stem_of(word: &str) -> String {
        stem(word.to_owned())
    }
}
