//! Puts lines that are a little out of order into the order in which the calls began: many logs are written when a call
//! ends.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::call::Call;

/// How many lines are held back to be put in order.
pub const REORDERED_LINES_MAX: usize = 4_096;
/// How many bytes of calls are held back, however few lines that are: 64 MiB, sixteen times what 4,096 calls with a
/// kilobyte of verdicts each take.
pub const REORDERED_BYTES_MAX: usize = 64 << 20;

/// Calls that wait for those that began before them.
#[derive(Debug, Default)]
pub(crate) struct Order {
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// Of the calls that wait.
    bytes: usize,
    last_at: Option<i64>,
}

#[derive(Debug)]
struct Waiting(Call);

impl Order {
    /// Takes a call.
    ///
    /// # Errors
    /// Where the call began before one that was given back: by how many nanoseconds.
    pub(crate) fn push(&mut self, call: Call) -> Result<(), u64> {
        if let Some(last) = self.last_at
            && call.at < last
        {
            return Err(last.abs_diff(call.at));
        }
        self.bytes += call.bytes();
        self.waiting.push(Reverse(Waiting(call)));
        Ok(())
    }

    /// The call whose turn it is, where more wait than may.
    pub(crate) fn due(&mut self) -> Option<Call> {
        let full = self.waiting.len() > REORDERED_LINES_MAX || self.bytes > REORDERED_BYTES_MAX;
        if full { self.pop() } else { None }
    }

    /// The call whose turn it is, when no more lines come.
    pub(crate) fn pop(&mut self) -> Option<Call> {
        let Reverse(Waiting(call)) = self.waiting.pop()?;
        self.bytes -= call.bytes();
        self.last_at = Some(call.at);
        Some(call)
    }

    /// How many calls wait, and how many bytes they take.
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.waiting.len(), self.bytes)
    }
}

impl Waiting {
    fn key(&self) -> (i64, u64) {
        (self.0.at, self.0.line)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use softfuse_outcome::OutcomeKind;

    fn call(line: u64, at: i64) -> Call {
        Call {
            line,
            at,
            latency: 0,
            kind: OutcomeKind::Success,
            score: None,
            late_scores: Vec::new(),
            retry_after: None,
            verdicts: Vec::new(),
        }
    }

    #[test]
    fn sorts_within_its_bound_and_refuses_beyond() {
        let mut order = Order::default();
        let count = 3 * REORDERED_LINES_MAX as i64;
        let mut given = Vec::new();
        for line in 0..count {
            // Pairs are swapped.
            order.push(call(line as u64, line ^ 1)).unwrap();
            given.extend(order.due().map(|call| call.at));
        }
        assert_eq!(order.push(call(count as u64, 7)), Err((given.len() - 1 - 7) as u64));
        given.extend(std::iter::from_fn(|| order.pop()).map(|call| call.at));
        assert_eq!(given, (0..count).collect::<Vec<_>>());
    }

    #[test]
    fn keeps_the_lines_order_at_one_instant() {
        let mut order = Order::default();
        for line in [3, 1, 2] {
            assert_eq!(order.push(call(line, 5)), Ok(()));
            assert_eq!(order.due(), None);
        }
        assert_eq!(std::iter::from_fn(|| order.pop()).map(|call| call.line).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn large_calls_wait_in_smaller_numbers() {
        let mut order = Order::default();
        let reason = "x".repeat(REORDERED_BYTES_MAX / 4);
        for line in 0..10 {
            let verdicts = vec![("drift".to_owned(), Some(reason.clone()))];
            order.push(Call { verdicts, ..call(line, line as i64) }).unwrap();
            while let Some(call) = order.due() {
                assert!(call.line + 3 <= line);
            }
            let (lines, bytes) = order.held();
            assert!(lines <= 3 && bytes <= REORDERED_BYTES_MAX, "{lines} lines, {bytes} bytes");
        }
        while order.pop().is_some() {}
        assert_eq!(order.held(), (0, 0));
    }
}
