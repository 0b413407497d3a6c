//! What stands around a panel: its legend, its frame with the ticks' labels, and the axis of time.

use plotters::prelude::{Circle, PathElement, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor};

use super::axis;
use super::panels::{Chart, Panel, What, line};
use super::series::Series;
use super::style::{self, DATA, DATA_DARK, FRAME, INK_SOFT, REFUSED};
use super::{Area, Drawn, Time};
use crate::output::number;
use crate::replay::{Replayed, When};

const TICK: i32 = 5;

/// How a legend's entry looks.
pub(super) enum Key {
    Dot(RGBColor),
    Ring,
    Line(RGBColor),
}

/// What the panel's marks mean.
pub(super) fn legend(panel: &Panel, replayed: &Replayed, series: &Series) -> Vec<(Key, String)> {
    match (panel.what, series.points.is_empty()) {
        (What::Quality, false) => {
            let mut entries = vec![
                (Key::Dot(DATA), "answer".to_owned()),
                (Key::Line(DATA_DARK), format!("mean of the last {}", series.window)),
            ];
            if replayed.lanes.len() == 1 {
                entries.push((Key::Ring, "refused: what the answer would have been".to_owned()));
            }
            entries
        }
        (What::Quality, true) => vec![
            (Key::Line(DATA_DARK), "mean".to_owned()),
            (Key::Dot(DATA), "from the least to the greatest".to_owned()),
        ],
        (What::Errors, _) => Vec::new(),
        (What::Latency, false) => Vec::new(),
        (What::Latency, true) => vec![(Key::Line(DATA_DARK), "median, and above it 95 %".to_owned())],
    }
}

/// Entries above the panel.
pub(super) fn draw_legend(area: &Area<'_>, chart: &Chart<'_, '_>, panel: &Panel, entries: &[(Key, String)]) -> Drawn {
    let (left, top) = chart.backend_coord(&(0.0, panel.most));
    let (base_x, base_y) = area.get_base_pixel();
    let y = top - base_y - 11;
    let mut x = left - base_x;
    for (key, text) in entries {
        match key {
            Key::Dot(color) => area.draw(&Circle::new((x + 6, y), 4, color.mix(0.5).filled()))?,
            Key::Ring => area.draw(&Circle::new((x + 6, y), 4, line(REFUSED, 1)))?,
            Key::Line(color) => area.draw(&PathElement::new(vec![(x, y), (x + 12, y)], line(*color, 2)))?,
        }
        let style = style::label().color(&INK_SOFT).pos(Pos::new(HPos::Left, VPos::Center));
        style::text(area, text, (x + 17, y), &style)?;
        x += style::width(text, 12.0) + 44;
    }
    Ok(())
}

/// The frame, the ticks' labels and the panel's name.
pub(super) fn draw_frame(area: &Area<'_>, chart: &Chart<'_, '_>, panel: &Panel) -> Drawn {
    let (base_x, base_y) = area.get_base_pixel();
    let (x_range, y_range) = chart.plotting_area().get_pixel_range();
    let corners = [(x_range.start - base_x, y_range.start - base_y), (x_range.end - base_x, y_range.end - base_y)];
    area.draw(&Rectangle::new(corners, line(FRAME, 1)))?;
    let style = style::label().color(&INK_SOFT).pos(Pos::new(HPos::Right, VPos::Center));
    for tick in &panel.ticks {
        let place = panel.scale.place(*tick);
        if !(panel.least..=panel.most).contains(&place) {
            continue;
        }
        let (x, y) = chart.backend_coord(&(0.0, place));
        let label = match panel.what {
            What::Quality => number(*tick),
            What::Errors => format!("{:.0} %", tick * 100.0),
            What::Latency if panel.most_value() >= 2_000.0 => format!("{} s", number(tick / 1_000.0)),
            What::Latency => format!("{} ms", number(*tick)),
        };
        style::text(area, &label, (x - base_x - TICK - 3, y - base_y), &style)?;
    }
    let middle = (y_range.start + y_range.end) / 2 - base_y;
    style::text(area, panel.name, (6, middle), &style::axis_name())
}

pub(super) fn draw_axis(area: &Area<'_>, chart: &Chart<'_, '_>, when: When, time: Time) -> Drawn {
    let (base_x, base_y) = area.get_base_pixel();
    let (_, y_range) = chart.plotting_area().get_pixel_range();
    let bottom = y_range.end - base_y;
    let style = style::label().color(&INK_SOFT).pos(Pos::new(HPos::Center, VPos::Top));
    // Ticks are round in the trace's own time, not in that since its first call.
    let origin = time.first_at as f64 / 1e9;
    for tick in axis::clock(origin, origin + time.seconds, 9) {
        let (x, _) = chart.backend_coord(&(tick - origin, 0.0));
        let x = x - base_x;
        area.draw(&PathElement::new(vec![(x, bottom), (x, bottom + TICK)], line(FRAME, 1)))?;
        style::text(area, &when.show_short((tick * 1e9) as i64), (x, bottom + TICK + 3), &style)?;
    }
    Ok(())
}
