//! Finds one character over and over.

use core::ops::ControlFlow;

use crate::lanes::{self, LANES};

/// A run at least this long has eight equal bytes in one of the stretches of eight into which a text is cut.
const SEEN_BYTES: usize = 2 * LANES - 1;

/// The run with which the text so far ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    run: Option<(char, usize)>,
    characters_max: usize,
}

impl Runs {
    /// A run of so many characters is one too long.
    pub(super) const fn new(characters_max: usize) -> Self {
        Self { run: None, characters_max }
    }

    /// Takes the next character; breaks where the run is too long.
    pub(super) fn push(&mut self, character: char) -> ControlFlow<()> {
        let times = match self.run {
            Some((last, times)) if last == character => times + 1,
            _ => 1,
        };
        self.run = Some((character, times));
        self.check(times)
    }

    /// Takes the next stretch of ASCII.
    pub(super) fn push_ascii(&mut self, text: &[u8]) -> ControlFlow<()> {
        if self.characters_max < SEEN_BYTES {
            return text.iter().try_for_each(|byte| self.push(char::from(*byte)));
        }
        let mut rest = text;
        if let Some((last, times)) = self.run {
            let more = equal(text.iter(), last);
            self.run = Some((last, times + more));
            self.check(times + more)?;
            rest = text.get(more..).unwrap_or_default();
        }
        let mut counted = 0;
        for (index, chunk) in rest.as_chunks::<LANES>().0.iter().enumerate() {
            let at = index * LANES;
            if lanes::are_equal(u64::from_le_bytes(*chunk))
                && at >= counted
                && let Some((before, here)) = rest.split_at_checked(at)
            {
                let character = char::from(chunk[0]);
                counted = at + equal(here.iter(), character);
                self.check(counted - at + equal(before.iter().rev(), character))?;
            }
        }
        if let Some(last) = rest.last().copied().map(char::from) {
            self.run = Some((last, equal(rest.iter().rev(), last)));
        }
        ControlFlow::Continue(())
    }

    const fn check(&self, times: usize) -> ControlFlow<()> {
        if times >= self.characters_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// How many bytes in a row are this character.
fn equal<'a>(bytes: impl Iterator<Item = &'a u8>, character: char) -> usize {
    bytes.take_while(|byte| char::from(**byte) == character).count()
}
