//! Texts of others' making, cut to what is kept of them.

use std::borrow::Cow;

/// What is kept of a text that a component or a user's code hands over, in bytes; the breaker component keeps no more. It
/// goes into events, logs and messages.
pub(crate) const TEXT_BYTES_MAX: usize = 1024;

/// Cuts a text that is owned.
pub(crate) fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text.shrink_to_fit();
    text
}

/// The beginning of a text.
pub(crate) fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// A text as the breaker component would cut it: with dots where something is missing.
pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    const CUT: &str = "...";
    let end = text.floor_char_boundary(TEXT_BYTES_MAX - CUT.len());
    Cow::Owned(format!("{}{CUT}", &text[..end]))
}
