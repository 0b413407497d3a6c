//! How a trace's instants are shown: as dates where it has dates, otherwise as time since its origin.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// From this many milliseconds on, a number is taken for a time since 1970: it would be 3.2 years of recording.
const EPOCH_MS_MIN: i64 = 100_000_000_000;
const MILLISECOND: i64 = 1_000_000;

/// How instants are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Seconds from the trace's origin.
    Seconds,
    /// Dates, in UTC.
    Dates,
}

impl When {
    /// How the instants of a trace are shown that begins at `first_at`.
    pub(crate) fn of(first_at: i64, dated: bool) -> Self {
        if dated || first_at >= EPOCH_MS_MIN * MILLISECOND { Self::Dates } else { Self::Seconds }
    }

    /// An instant for people.
    pub(crate) fn show(self, at: i64) -> String {
        match self.date(at) {
            Some(date) => date.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
            None => format!("{:.1} s", at as f64 / 1e9),
        }
    }

    /// An instant beside one that says the day.
    pub(crate) fn show_near(self, at: i64) -> String {
        match self.date(at) {
            Some(date) => date.strftime("%H:%M:%S%.3f").to_string(),
            None => self.show(at),
        }
    }

    /// An instant for an axis.
    pub(crate) fn show_short(self, at: i64) -> String {
        match self.date(at) {
            Some(date) => date.strftime("%H:%M:%S").to_string(),
            None => format!("{:.0} s", at as f64 / 1e9),
        }
    }

    /// RFC 3339, for programs; none where the trace has no dates.
    pub(crate) fn rfc3339(self, at: i64) -> Option<String> {
        self.date(at).map(|date| date.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
    }

    fn date(self, at: i64) -> Option<jiff::Zoned> {
        if self == Self::Seconds {
            return None;
        }
        Some(Timestamp::from_nanosecond(i128::from(at)).ok()?.to_zoned(TimeZone::UTC))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_told_from_times() {
        assert_eq!(When::of(0, false), When::Seconds);
        let at = 1_700_000_000_250_000_000;
        let when = When::of(at, false);
        assert_eq!(when, When::Dates);
        assert_eq!(when.show(at), "2023-11-14 22:13:20.250");
        assert_eq!(when.rfc3339(at).as_deref(), Some("2023-11-14T22:13:20.250Z"));
        assert_eq!(When::Seconds.show(165_230_000_000), "165.2 s");
    }
}
