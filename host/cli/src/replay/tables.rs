//! The replay's report for people: what tripped and why, what would have been refused, and policies side by side.

use std::io::{self, Write};
use std::path::Path;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use console::Term;
use softfuse::State;

use super::tally::{Group, Trip};
use super::{Lane, Replayed, When};
use crate::output::{BOLD, DIM, GOOD, WARN, grouped, number, share, span};

/// How many openings a table shows; `--json` has them all.
const TRIPS_SHOWN_MAX: usize = 40;

/// Writes the report to standard output.
///
/// # Errors
/// Where that can't be written to.
pub(crate) fn print(replayed: &Replayed, plot: Option<&Path>) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    heading(&mut out, replayed)?;
    for lane in &replayed.lanes {
        policy(&mut out, replayed, lane)?;
    }
    if replayed.lanes.len() > 1 {
        writeln!(out, "\n{BOLD}side by side{BOLD:#}")?;
        writeln!(out, "{}", side_by_side(replayed))?;
    }
    if let Some(plot) = plot {
        writeln!(out, "\nplot: {}", plot.display())?;
    }
    Ok(())
}

fn heading(out: &mut impl Write, replayed: &Replayed) -> io::Result<()> {
    let length = span(replayed.last_at.abs_diff(replayed.first_at));
    write!(out, "{BOLD}{}{BOLD:#}: {} calls in {length}", replayed.trace, grouped(replayed.calls))?;
    if replayed.when == When::Dates {
        write!(out, ", from {} UTC", replayed.when.show(replayed.first_at))?;
    }
    if replayed.bad_lines > 0 {
        write!(out, "; {WARN}{} bad lines skipped{WARN:#}", grouped(replayed.bad_lines))?;
    }
    writeln!(out)?;
    let scoring = &replayed.scoring;
    if scoring.scored + scoring.unscored > 0 {
        let by = scoring.counts().filter(|(_, counts)| counts.scored > 0);
        let by: Vec<String> = by.map(|(name, counts)| format!("{name} {}", grouped(counts.scored))).collect();
        let by = if by.is_empty() { "nobody".to_owned() } else { by.join(", ") };
        write!(out, "{DIM}scored here: {} answers ({by}){DIM:#}", grouped(scoring.scored))?;
        if scoring.unscored > 0 {
            write!(out, "{DIM}; without a score: {}{DIM:#}", grouped(scoring.unscored))?;
        }
        writeln!(out)?;
    }
    for (name, counts) in scoring.counts() {
        let Some(first) = &counts.first_failure else { continue };
        let failures: u64 = counts.failed.values().sum();
        writeln!(out, "{WARN}the scorer {name} failed {} times{WARN:#}, at first: {first}", grouped(failures))?;
    }
    Ok(())
}

fn policy(out: &mut impl Write, replayed: &Replayed, lane: &Lane) -> io::Result<()> {
    let tally = &lane.tally;
    writeln!(out, "\n{BOLD}{}{BOLD:#}", lane.name())?;
    if tally.trips.is_empty() {
        writeln!(out, "  {GOOD}never trips{GOOD:#}: all {} calls are admitted", grouped(tally.admitted.calls))?;
    } else {
        writeln!(out, "{}", trips(&tally.trips, replayed.when))?;
        let openings = tally.trip_count + tally.reopen_count;
        if openings > TRIPS_SHOWN_MAX as u64 {
            let more = grouped(openings - TRIPS_SHOWN_MAX as u64);
            writeln!(out, "  {DIM}and {more} openings more: --json lists them{DIM:#}")?;
        }
        writeln!(out)?;
        refused(out, replayed, lane)?;
    }
    writeln!(out, "  admitted  {}", group(&tally.admitted))?;
    write!(out, "  state     {} at the end", tally.state())?;
    for (state, name) in [(State::Closed, "closed"), (State::Open, "open"), (State::HalfOpen, "half-open")] {
        match tally.span_in(state) {
            0 => {}
            nanos => write!(out, "; {name} for {}", span(nanos))?,
        }
    }
    writeln!(out)
}

fn refused(out: &mut impl Write, replayed: &Replayed, lane: &Lane) -> io::Result<()> {
    let tally = &lane.tally;
    let calls = share(tally.refused.calls, replayed.calls);
    write!(out, "  refused   {}", group(&tally.refused))?;
    writeln!(out, " ({calls} of all)")?;
    if let (Some(first), Some(last)) = (tally.first_refused, tally.last_refused) {
        let when = replayed.when;
        writeln!(
            out,
            "            first at {} (line {}), last at {} (line {})",
            when.show(first.at),
            grouped(first.line),
            when.show(last.at),
            grouped(last.line)
        )?;
    }
    Ok(())
}

fn group(group: &Group) -> String {
    let mut text = format!("{} calls", grouped(group.calls));
    if let Some(score) = group.mean_score() {
        text.push_str(&format!(", mean score {}", number(score)));
    }
    if let Some(latency) = group.mean_latency_ms() {
        text.push_str(&format!(", mean latency {latency:.0} ms"));
    }
    let kinds: Vec<String> = group.kinds().map(|(kind, count)| format!("{} {kind}", grouped(count))).collect();
    if !kinds.is_empty() {
        text.push_str(&format!("; {}", kinds.join(", ")));
    }
    text
}

/// A line below the header, and nothing else.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table without frames, as wide as the terminal, or as wide as it likes where there is none.
fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
    let terminal = Term::stdout();
    if terminal.is_term() {
        table.set_width(terminal.size().1);
    }
    table.set_header(header.iter().copied());
    table
}

fn trips(trips: &[Trip], when: When) -> String {
    let mut table = table(&["#", "at", "line", "opens since", "measured", "limit", "open for", "refused", "then"]);
    for trip in trips.iter().take(TRIPS_SHOWN_MAX) {
        // All causes of a trip, one under the other.
        let column = |read: &dyn Fn(&softfuse::Cause) -> f64| {
            let values: Vec<String> = trip.causes.iter().map(|cause| number(read(cause))).collect();
            values.join("\n")
        };
        let then = match (trip.closed_at, trip.half_open_at) {
            (Some(at), _) => format!("closed at {}", when.show_near(at)),
            (None, Some(at)) => format!("half-open at {}", when.show_near(at)),
            (None, None) => "open to the end".to_owned(),
        };
        table.add_row([
            trip.number.to_string(),
            when.show(trip.at),
            grouped(trip.line),
            trip.reason.clone(),
            column(&|cause| cause.value),
            column(&|cause| cause.limit),
            trip.open_until.map_or_else(String::new, |until| span(until.abs_diff(trip.at))),
            grouped(trip.refused),
            then,
        ]);
    }
    align_right(&mut table, &[0, 1, 2, 4, 5, 6, 7]);
    table.trim_fmt()
}

fn align_right(table: &mut Table, columns: &[usize]) {
    for index in columns {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn side_by_side(replayed: &Replayed) -> String {
    let names = replayed.lanes.iter().map(Lane::name);
    let header: Vec<&str> = std::iter::once("").chain(names).collect();
    let mut table = table(&header);
    let mut row = |name: &str, cell: &dyn Fn(&Lane) -> String| {
        let cells = replayed.lanes.iter().map(cell);
        table.add_row(std::iter::once(name.to_owned()).chain(cells));
    };
    let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
    row("trips", &|lane| grouped(lane.tally.trip_count));
    row("opened again", &|lane| grouped(lane.tally.reopen_count));
    row("closed again", &|lane| grouped(lane.tally.recovered_count));
    row("first trip", &|lane| {
        lane.tally.trips.first().map_or_else(|| "-".to_owned(), |trip| replayed.when.show(trip.at))
    });
    row("open or half-open", &|lane| span(lane.tally.span_in(State::Open) + lane.tally.span_in(State::HalfOpen)));
    row("refused", &|lane| grouped(lane.tally.refused.calls));
    row("  share of all", &|lane| share(lane.tally.refused.calls, replayed.calls));
    row("  failures among them", &|lane| grouped(lane.tally.refused.failures()));
    row("  mean score", &|lane| optional(lane.tally.refused.mean_score()));
    row("admitted", &|lane| grouped(lane.tally.admitted.calls));
    row("  failures among them", &|lane| grouped(lane.tally.admitted.failures()));
    row("  mean score", &|lane| optional(lane.tally.admitted.mean_score()));
    row("state at the end", &|lane| lane.tally.state().to_string());
    let columns: Vec<usize> = (1..=replayed.lanes.len()).collect();
    align_right(&mut table, &columns);
    table.trim_fmt()
}
