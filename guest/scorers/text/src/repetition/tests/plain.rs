//! The signs of repetition by their definitions, a character and a word at a time, to hold the fast ones to.

use std::collections::BTreeSet;

use super::super::Limits;

/// What [`Repetition`](super::super::Repetition) says at the end of a text.
pub(super) fn severity(text: &str, limits: &Limits) -> f64 {
    let words = words(text);
    if has_run(text, limits) || has_loop(&words, limits) {
        return 1.0;
    }
    let distinct = |window: &[String]| {
        let all = window.len() - limits.n + 1;
        window.windows(limits.n).collect::<BTreeSet<_>>().len() as f64 / all as f64
    };
    let judged = words.chunks(limits.window_words).filter(|window| window.len() >= limits.words_min.max(limits.n));
    let worst = judged.map(distinct).fold(1.0, f64::min);
    ((limits.distinct_good - worst) / (limits.distinct_good - limits.distinct_bad)).clamp(0.0, 1.0)
}

fn words(text: &str) -> Vec<String> {
    let alone = |c: char| {
        let code = u32::from(c);
        [0x3040..=0x30ff, 0x3400..=0x4dbf, 0x4e00..=0x9fff, 0xf900..=0xfaff, 0x2_0000..=0x3_ffff]
            .iter()
            .any(|range| range.contains(&code))
    };
    let mut words = vec![String::new()];
    for character in text.chars() {
        let last = words.last_mut().expect("there is one");
        match character {
            c if !c.is_alphanumeric() => words.push(String::new()),
            c if alone(c) => words.extend([c.to_string(), String::new()]),
            c => {
                last.push(c.to_ascii_lowercase());
                if last.chars().count() == 32 {
                    words.push(String::new());
                }
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn has_run(text: &str, limits: &Limits) -> bool {
    let characters: Vec<char> = text.chars().collect();
    characters.windows(limits.run_characters).any(|run| run.iter().all(|c| *c == run[0]))
}

fn has_loop(words: &[String], limits: &Limits) -> bool {
    (1..=64_usize).any(|period| {
        let in_loop = limits.loop_words.max(limits.loop_repeats * period).saturating_sub(period).max(1);
        let same: Vec<bool> = words.iter().skip(period).zip(words).map(|(word, before)| word == before).collect();
        same.windows(in_loop).any(|row| row.iter().all(|same| *same))
    })
}
