//! Puts lines that are a little out of order into the order in which the calls began: many logs are written when a call
//! ends.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::call::Call;

/// How many lines are held back to be put in order.
pub(crate) const REORDERED_LINES_MAX: usize = 4_096;

/// Calls that wait for those that began before them.
#[derive(Debug, Default)]
pub(crate) struct Order {
    waiting: BinaryHeap<Reverse<Waiting>>,
    last_at: Option<i64>,
}

#[derive(Debug)]
struct Waiting(Call);

impl Order {
    /// Takes a call, and gives back the one whose turn it is, if any.
    ///
    /// # Errors
    /// Where the call began before one that was given back: by how many nanoseconds.
    pub(crate) fn push(&mut self, call: Call) -> Result<Option<Call>, u64> {
        if let Some(last) = self.last_at
            && call.at < last
        {
            return Err(last.abs_diff(call.at));
        }
        self.waiting.push(Reverse(Waiting(call)));
        Ok(if self.waiting.len() > REORDERED_LINES_MAX { self.pop() } else { None })
    }

    /// The call whose turn it is, when no more lines come.
    pub(crate) fn pop(&mut self) -> Option<Call> {
        let Reverse(Waiting(call)) = self.waiting.pop()?;
        self.last_at = Some(call.at);
        Some(call)
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
    use softfuse::OutcomeKind;

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
            given.extend(order.push(call(line as u64, line ^ 1)).unwrap().map(|call| call.at));
        }
        assert_eq!(order.push(call(count as u64, 7)), Err((given.len() - 1 - 7) as u64));
        given.extend(std::iter::from_fn(|| order.pop()).map(|call| call.at));
        assert_eq!(given, (0..count).collect::<Vec<_>>());
    }

    #[test]
    fn keeps_the_lines_order_at_one_instant() {
        let mut order = Order::default();
        for line in [3, 1, 2] {
            assert_eq!(order.push(call(line, 5)), Ok(None));
        }
        assert_eq!(std::iter::from_fn(|| order.pop()).map(|call| call.line).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
