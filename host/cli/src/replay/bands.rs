//! Which state a circuit was in from when to when, in bounded space: where there are too many changes to be told apart,
//! time is cut into cells, and each gets the state that lasted longest in it.

use softfuse::State;

/// How many changes are kept as they are.
const CHANGES_KEPT_MAX: usize = 8_192;
/// Into how many cells time is cut where there are more.
const CELLS: u64 = 2_048;
/// From how many changes on a picture has them by cells, of which it has about as many as pixels.
const DRAWN_MAX: usize = 1_024;

/// The changes of a circuit's state.
#[derive(Clone, Debug)]
pub(crate) struct Bands {
    /// Since when the state is which, the beginning first.
    changes: Vec<(i64, State)>,
}

impl Bands {
    /// Closed from `origin` on.
    pub(crate) fn new(origin: i64) -> Self {
        Self { changes: vec![(origin, State::Closed)] }
    }

    /// The state changes.
    pub(crate) fn enter(&mut self, state: State, at: i64) {
        self.changes.push((at, state));
        if self.changes.len() > CHANGES_KEPT_MAX {
            self.changes = coalesced(&self.changes, at, CELLS);
            // The last change is what holds from now on, whatever its cell says.
            self.changes.push((at, state));
        }
    }

    /// From when to when the circuit was in which state, up to `end`; as many bands as a picture can show.
    pub(crate) fn until(&self, end: i64) -> Vec<(i64, i64, State)> {
        if self.changes.len() > DRAWN_MAX {
            return spans(&coalesced(&self.changes, end, DRAWN_MAX as u64), end).collect();
        }
        spans(&self.changes, end).collect()
    }
}

fn spans(changes: &[(i64, State)], end: i64) -> impl Iterator<Item = (i64, i64, State)> {
    let ends = changes.iter().skip(1).map(|(at, _)| *at).chain(std::iter::once(end));
    changes.iter().zip(ends).map(|((from, state), to)| (*from, to, *state)).filter(|(from, to, _)| from < to)
}

/// The same by cells: at most one change a cell.
fn coalesced(changes: &[(i64, State)], end: i64, cells: u64) -> Vec<(i64, State)> {
    let Some((origin, first)) = changes.first().copied() else { return Vec::new() };
    // At least a nanosecond, so that there are at most `cells` and one.
    let width = (end.abs_diff(origin) / cells).max(1);
    let mut found: Vec<(i64, State)> = vec![(origin, first)];
    let mut cell = 0;
    let mut lasted = [0_u64; State::ALL.len()];
    for (from, to, state) in spans(changes, end) {
        let mut from = from.abs_diff(origin);
        let to = to.abs_diff(origin);
        while from < to {
            if from / width != cell {
                close(&mut found, origin, cell * width, &mut lasted);
                cell = from / width;
            }
            let upto = to.min((cell + 1).saturating_mul(width));
            lasted[usize::from(state.as_metric())] += upto - from;
            from = upto;
        }
    }
    close(&mut found, origin, cell * width, &mut lasted);
    found
}

/// Ends a cell: its state is the one that lasted longest.
fn close(found: &mut Vec<(i64, State)>, origin: i64, begins: u64, lasted: &mut [u64; State::ALL.len()]) {
    let longest = State::ALL.into_iter().max_by_key(|state| lasted[usize::from(state.as_metric())]);
    *lasted = [0; State::ALL.len()];
    if let Some(state) = longest
        && found.last().is_none_or(|(_, last)| *last != state)
    {
        found.push((origin.saturating_add_unsigned(begins), state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_changes_stay_as_they_are() {
        let mut bands = Bands::new(-5);
        bands.enter(State::Open, 10);
        bands.enter(State::HalfOpen, 20);
        bands.enter(State::Open, 20);
        assert_eq!(bands.until(30), [(-5, 10, State::Closed), (10, 20, State::Open), (20, 30, State::Open)]);
    }

    #[test]
    fn many_changes_keep_what_lasts() {
        let mut bands = Bands::new(0);
        // Nine parts open to one half-open, then closed.
        for at in 0..1_000_000_i64 {
            bands.enter(State::Open, at * 10);
            bands.enter(State::HalfOpen, at * 10 + 9);
        }
        bands.enter(State::Closed, 10_000_000);
        assert!(bands.changes.len() <= CHANGES_KEPT_MAX + 1);
        let drawn = bands.until(20_000_000);
        assert!(drawn.len() <= DRAWN_MAX + 1);
        assert!(drawn.windows(2).all(|pair| pair[0].1 == pair[1].0), "without gaps");
        let lasted = |wanted: State| -> i64 {
            drawn.iter().filter(|(.., state)| *state == wanted).map(|(from, to, _)| to - from).sum()
        };
        assert!((9_900_000..=10_100_000).contains(&lasted(State::Open)), "{}", lasted(State::Open));
        assert!((9_900_000..=10_100_000).contains(&lasted(State::Closed)), "{}", lasted(State::Closed));
    }
}
