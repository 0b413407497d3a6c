//! Eight bytes of ASCII at a time, in one 64-bit number: the byte that stands first lies lowest. Portable, and with what
//! every WebAssembly engine has.

/// How many bytes are looked at together.
pub(crate) const LANES: usize = 8;

/// How many bytes make a block, of which each has a bit in one number.
pub(crate) const BLOCK: usize = 64;

/// One in every byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// The highest bit of every byte: where a byte has what is asked for, it is set in the answer.
const HIGH: u64 = 0x80 * ONES;

/// The first eight bytes, zeros where there are fewer.
#[inline]
pub(crate) fn first_of(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<LANES>() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => (0..).zip(bytes).fold(0, |lanes, (at, byte)| lanes | u64::from(*byte) << (8 * at)),
    }
}

/// How many bytes come before the first that is marked.
#[inline]
pub(crate) const fn before_first(marks: u64) -> usize {
    marks.trailing_zeros() as usize / LANES
}

/// The first `count` bytes, at most eight, and zeros behind them.
#[inline]
pub(crate) const fn keep(lanes: u64, count: usize) -> u64 {
    if count == 0 { 0 } else { lanes & (u64::MAX >> (8 * (LANES - count))) }
}

/// Whether all bytes are the same.
#[inline]
pub(crate) const fn are_equal(lanes: u64) -> bool {
    lanes == (lanes & 0xff) * ONES
}

/// With how many bytes of ASCII a text begins.
pub(crate) fn ascii_len(text: &[u8]) -> usize {
    let (chunks, rest) = text.as_chunks::<LANES>();
    for (index, chunk) in chunks.iter().enumerate() {
        let foreign = u64::from_le_bytes(*chunk) & HIGH;
        if foreign != 0 {
            return index * LANES + before_first(foreign);
        }
    }
    text.len() - rest.len() + rest.iter().take_while(|byte| byte.is_ascii()).count()
}

/// Marks ASCII letters and digits.
#[inline]
pub(crate) const fn alphanumeric(lanes: u64) -> u64 {
    let bytes = lanes & !HIGH;
    // A digit's bit of case is set as well, so it stays itself.
    let lower = bytes | (0x20 * ONES);
    let letters = at_least(lower, b'a') & !at_least(lower, b'z' + 1);
    let digits = at_least(bytes, b'0') & !at_least(bytes, b'9' + 1);
    (letters | digits) & !lanes & HIGH
}

/// A bit for each byte of a text's first block: set where it is an ASCII letter or digit.
pub(crate) fn letters_of_block(text: &[u8]) -> u64 {
    let block = text.get(..BLOCK).unwrap_or(text);
    let (chunks, rest) = block.as_chunks::<LANES>();
    let mut bits = 0;
    for chunk in chunks.iter().rev() {
        bits = bits << LANES | gather(alphanumeric(u64::from_le_bytes(*chunk)));
    }
    if !rest.is_empty() {
        bits |= gather(alphanumeric(first_of(rest))) << (block.len() - rest.len());
    }
    bits
}

/// The marks of eight bytes, as eight bits.
#[inline]
const fn gather(marks: u64) -> u64 {
    // Each mark is multiplied to a bit of its own in the highest byte.
    (marks >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Marks the bytes that `wanted` doesn't mark.
#[inline]
pub(crate) const fn others(wanted: u64) -> u64 {
    !wanted & HIGH
}

/// ASCII letters in lower case; digits, and what isn't ASCII, as they are. Of other bytes it makes something else.
#[inline]
pub(crate) const fn lower(lanes: u64) -> u64 {
    lanes | (others(lanes) >> 2)
}

/// Marks bytes of at least `least`. All are less than 128.
#[inline]
const fn at_least(bytes: u64, least: u8) -> u64 {
    (bytes + (0x80 - least as u64) * ONES) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte at every place, beside bytes that could spill over into it.
    #[test]
    fn each_byte_is_told_by_itself() {
        for byte in 0..=u8::MAX {
            for beside in [0, 0x2f, b'0', b'a', b'z', 0x7f, 0x80, 0xff] {
                for at in 0..LANES {
                    let mut bytes = [beside; LANES];
                    bytes[at] = byte;
                    let lanes = first_of(&bytes);
                    let marked = |marks: u64| marks >> (8 * at) & 0xff;
                    assert_eq!(marked(alphanumeric(lanes)), if byte.is_ascii_alphanumeric() { 0x80 } else { 0 });
                    assert_eq!(
                        marked(others(alphanumeric(lanes))),
                        if byte.is_ascii_alphanumeric() { 0 } else { 0x80 }
                    );
                    assert_eq!(are_equal(lanes), byte == beside);
                    if byte.is_ascii_alphanumeric() || !byte.is_ascii() {
                        assert_eq!(marked(lower(lanes)), u64::from(byte.to_ascii_lowercase()), "{byte:#x}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_block_has_a_bit_for_each_byte() {
        let text: Vec<u8> = (0..=u8::MAX).chain((0..=u8::MAX).rev()).collect();
        for from in 0..text.len() {
            for to in from..text.len().min(from + 70) {
                let bits = letters_of_block(&text[from..to]);
                for at in 0..BLOCK {
                    let is_letter = text[from..to].get(at).is_some_and(u8::is_ascii_alphanumeric);
                    assert_eq!(bits >> at & 1 == 1, is_letter, "{from} {to} {at}");
                }
            }
        }
    }

    #[test]
    fn ascii_ends_where_another_byte_begins() {
        for len in 0..20 {
            let mut text = [b'a'; 20];
            assert_eq!(ascii_len(&text[..len]), len);
            text[len] = 0x80;
            assert_eq!(ascii_len(&text), len);
        }
    }

    #[test]
    fn short_stretches_are_filled_with_zeros() {
        assert_eq!(first_of(b""), 0);
        assert_eq!(first_of(b"ab"), 0x6261);
        assert_eq!(first_of(b"abcdefghi"), u64::from_le_bytes(*b"abcdefgh"));
        assert_eq!(keep(u64::MAX, 0), 0);
        assert_eq!(keep(u64::MAX, 1), 0xff);
        assert_eq!(keep(u64::MAX, 8), u64::MAX);
        assert_eq!(before_first(0), 8);
        assert_eq!(before_first(0x8000), 1);
    }
}
