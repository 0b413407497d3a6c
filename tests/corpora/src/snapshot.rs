//! The target `snapshot`: any bytes are a snapshot or an error, and what is restored from hostile ones still works.
//!
//! An input is a policy (1 byte), how its bytes become a snapshot (1 byte), two times (1 byte each), the number of bytes
//! for steps (1 byte), the bytes of the snapshot, and at its end those of the steps.

use crate::drive::{Bounds, Driver, Tally};
use crate::{ops, policies};
use softfuse_core::{Breaker, RestoreError};

/// What the format's header is: its name and its version.
pub const HEADER: &[u8] = b"SFBK\x02";
/// Bytes before those of the snapshot.
pub const PREFIX_BYTES: usize = 5;

/// How an input's bytes become a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    Raw,
    /// They are a body: the header comes before them, a right checksum after.
    Body,
    /// As `Body`, and the policy's fingerprint comes before them, too.
    State,
}

/// What an input came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Reached {
    /// Too short to be an input.
    TooShort,
    /// Refused.
    Refused(RestoreError),
    /// Restored and driven.
    Restored(Tally),
}

/// Times on the host's clock, near those that matter.
const TIMES: [u64; 8] = [0, 1, 1_000_000, 60_000_000_000, 3_600_000_000_000, 1 << 62, i64::MAX as u64, u64::MAX];

/// Checks one input.
///
/// # Panics
/// Where something doesn't hold.
pub fn run(bytes: &[u8]) -> Reached {
    let Some(([policy, form, now, away, steps], rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return Reached::TooShort;
    };
    let time = |byte: &u8| TIMES[usize::from(*byte) % TIMES.len()];
    let known = policies::known(*policy);
    let (payload, steps) = rest.split_at(rest.len() - usize::from(*steps).min(rest.len()));
    let form = [Form::Raw, Form::Body, Form::State][usize::from(*form) % 3];
    let snapshot = assemble(form, known.policy.fingerprint(), payload);
    let (now, away) = (time(now), time(away));
    let breaker = match Breaker::restore(known.policy.clone(), &snapshot, now, away) {
        Ok(breaker) => breaker,
        Err(error) => return Reached::Refused(checked(error)),
    };
    // Saving what was restored gives a snapshot again, and its breaker decides alike.
    let again = breaker.snapshot(now);
    let twin = Breaker::restore(known.policy.clone(), &again, now, 0)
        .unwrap_or_else(|error| panic!("a restored breaker's own snapshot is refused: {error:?}"));
    assert_eq!(breaker.state(), twin.state(), "the state changed");
    assert_eq!(breaker.would_refuse(now).is_some(), twin.would_refuse(now).is_some(), "the decision changed");
    // A snapshot has told how many passes there were, and may have told more probes than those leave room for.
    let bounds = Bounds { probes_max: known.probes_max, passes_needed: u32::MAX };
    let mut driver = Driver::restored(breaker, bounds, now);
    for op in ops::ops(steps) {
        driver.step(&op);
    }
    Reached::Restored(driver.tally)
}

/// The snapshot that a payload makes.
pub fn assemble(form: Form, fingerprint: u64, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    match form {
        Form::Raw => return payload.to_vec(),
        Form::Body => {}
        Form::State => varint(fingerprint, &mut body),
    }
    body.extend_from_slice(payload);
    let checksum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&body);
    [HEADER, &body, &checksum.to_le_bytes()].concat()
}

/// Postcard's varint: seven bits a byte, the least first.
fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        // The low eight bits.
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// How many bytes of a body the fingerprint takes.
pub fn fingerprint_bytes(fingerprint: u64) -> usize {
    let mut bytes = Vec::new();
    varint(fingerprint, &mut bytes);
    bytes.len()
}

fn checked(error: RestoreError) -> RestoreError {
    if let RestoreError::Corrupt(message) = &error {
        assert!(message.contains("expected"), "says what is damaged, not what was expected: {message}");
    }
    error
}
