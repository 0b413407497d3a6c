//! The strips that say which state each circuit was in, and the trips with their reasons.

use plotters::prelude::{PathElement, Polygon, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, ShapeStyle};
use softfuse::State;

use super::style::{self, INK, INK_SOFT, MARGIN_LEFT, MARGIN_RIGHT, WIDTH};
use super::{Area, Drawn, Time};
use crate::replay::{Lane, Replayed, Tally};

const STRIP: i32 = 20;
const GAP: i32 = 10;
const LABEL_ROW: i32 = 16;
/// How many rows of reasons a strip may have above it; trips whose reason finds no room keep their mark.
const LABEL_ROWS_MAX: usize = 3;
/// Room for a trip's mark above its strip.
const MARK: i32 = 8;

/// A trip's mark: where, and the reason, if it finds room.
struct Mark {
    x: i32,
    reason: Option<Label>,
}

struct Label {
    text: String,
    row: usize,
    /// It stands left of its mark.
    left: bool,
}

/// The height of all strips with their labels.
pub(super) fn height(replayed: &Replayed, time: Time) -> u32 {
    let lanes = replayed.lanes.iter().map(|lane| lane_height(&marks(&lane.tally, time), replayed));
    // Small and positive: a few strips of a few rows.
    lanes.sum::<i32>() as u32 + LABEL_ROW as u32 + GAP as u32
}

fn lane_height(marks: &[Mark], replayed: &Replayed) -> i32 {
    let rows =
        marks.iter().filter_map(|mark| mark.reason.as_ref()).map(|label| label.row as i32 + 1).max().unwrap_or(0);
    let name = if replayed.lanes.len() > 1 { LABEL_ROW + 2 } else { 0 };
    name + rows * LABEL_ROW + MARK + STRIP + GAP
}

/// The trips from closed, each with its reason in the first row that has room.
fn marks(tally: &Tally, time: Time) -> Vec<Mark> {
    const SIZE: f64 = 12.0;
    let (least, most) = (MARGIN_LEFT as i32, (WIDTH - MARGIN_RIGHT) as i32);
    // Up to where each row is taken.
    let mut taken = [least; LABEL_ROWS_MAX];
    let trips = tally.trips.iter().filter(|trip| !trip.reopened);
    trips
        .map(|trip| {
            let x = time.pixel(trip.at);
            let width = style::width(&trip.reason, SIZE) + 10;
            let left = x + width > most && x - width >= least;
            let (from, to) = if left { (x - width, x) } else { (x, x + width) };
            let row = (0..LABEL_ROWS_MAX).find(|row| taken[*row] <= from && to <= most);
            let reason = row.map(|row| {
                taken[row] = to + 8;
                Label { text: trip.reason.clone(), row, left }
            });
            Mark { x, reason }
        })
        .collect()
}

/// Draws the strips into their area, and the trips' lines of a lone policy down through the panels.
pub(super) fn draw(
    root: &Area<'_>,
    area: &Area<'_>,
    replayed: &Replayed,
    time: Time,
    top: u32,
    panels_height: u32,
) -> Drawn {
    let mut y = 0;
    let alone = replayed.lanes.len() == 1;
    for lane in &replayed.lanes {
        let marks = marks(&lane.tally, time);
        let height = lane_height(&marks, replayed);
        let strip = y + height - STRIP - GAP;
        if !alone {
            style::text(area, lane.name(), (MARGIN_LEFT as i32, y), &style::label_bold())?;
        }
        draw_strip(area, lane, time, strip)?;
        let labels_top = if alone { y } else { y + LABEL_ROW + 2 };
        let bottom = if alone {
            let (_, states_height) = area.dim_in_pixel();
            (states_height + panels_height) as i32
        } else {
            strip + STRIP
        };
        for mark in &marks {
            draw_mark(root, mark, (top as i32 + labels_top, top as i32 + strip), top as i32 + bottom)?;
        }
        y += height;
    }
    draw_legend(area, y)
}

fn draw_strip(area: &Area<'_>, lane: &Lane, time: Time, top: i32) -> Drawn {
    let style = style::label().pos(Pos::new(HPos::Right, VPos::Center)).color(&INK_SOFT);
    style::text(area, "state", (MARGIN_LEFT as i32 - 10, top + STRIP / 2), &style)?;
    for (from, to, state) in lane.tally.bands.until(lane.tally.ended_at()) {
        let corners = [(time.pixel(from), top), (time.pixel(to).max(time.pixel(from) + 1), top + STRIP)];
        area.draw(&Rectangle::new(corners, style::state(state).filled()))?;
    }
    Ok(())
}

fn draw_mark(root: &Area<'_>, mark: &Mark, (labels_top, strip): (i32, i32), bottom: i32) -> Drawn {
    let x = mark.x;
    let thin = ShapeStyle { color: style::LIMIT.mix(0.7), filled: false, stroke_width: 1 };
    root.draw(&Polygon::new(vec![(x - 5, strip - 7), (x + 5, strip - 7), (x, strip)], style::LIMIT.filled()))?;
    // Trips without room for their reasons are so many that their lines would hide the data.
    if let Some(label) = &mark.reason {
        let line_top = labels_top + label.row as i32 * LABEL_ROW;
        root.draw(&PathElement::new(vec![(x, line_top), (x, bottom)], thin))?;
        let (side, at) = if label.left { (HPos::Right, x - 5) } else { (HPos::Left, x + 5) };
        let style = style::label().color(&INK).pos(Pos::new(side, VPos::Top));
        style::text(root, &label.text, (at, line_top), &style)?;
    }
    Ok(())
}

fn draw_legend(area: &Area<'_>, top: i32) -> Drawn {
    let mut x = MARGIN_LEFT as i32;
    for (state, text) in [
        (State::Closed, "closed: calls flow"),
        (State::Open, "open: calls are refused"),
        (State::HalfOpen, "half-open: a few probes"),
    ] {
        area.draw(&Rectangle::new([(x, top + 1), (x + 12, top + 11)], style::state(state).filled()))?;
        style::text(area, text, (x + 17, top), &style::label().color(&INK_SOFT))?;
        x += style::width(text, 12.0) + 40;
    }
    area.draw(&Polygon::new(vec![(x, top + 2), (x + 10, top + 2), (x + 5, top + 9)], style::LIMIT.filled()))?;
    style::text(area, "trip", (x + 15, top), &style::label().color(&INK_SOFT))
}
