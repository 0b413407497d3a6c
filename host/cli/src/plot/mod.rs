//! `--plot`: a picture of a replay. From the top: which states each policy's circuit was in and why it tripped, then
//! quality, errors and latency of the calls, all over one axis of time.
//!
//! Drawn by plotters as SVG, with the viewer's own sans-serif font, so that no font is needed where it is made.

mod axis;
mod buckets;
mod frame;
mod panels;
mod series;
mod states;
mod style;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, IntoDrawingArea, SVGBackend};

use crate::output::{grouped, share, span};
use crate::replay::Replayed;

pub(crate) use series::Series;

use style::{MARGIN_LEFT, MARGIN_RIGHT, WIDTH};

/// What everything is drawn on.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The axis of time, in seconds from the first call.
#[derive(Clone, Copy, Debug)]
struct Time {
    first_at: i64,
    seconds: f64,
}

impl Time {
    fn of(replayed: &Replayed) -> Self {
        let ended = replayed.lanes.iter().map(|lane| lane.tally.ended_at()).max().unwrap_or(replayed.last_at);
        let nanos = ended.max(replayed.last_at).abs_diff(replayed.first_at);
        // A trace of one call without a latency has no width by itself.
        Self { first_at: replayed.first_at, seconds: (nanos as f64 / 1e9).max(1e-3) }
    }

    /// Where an instant lies, in seconds.
    fn place(self, at: i64) -> f64 {
        at.saturating_sub(self.first_at) as f64 / 1e9
    }

    /// Where an instant lies, in pixels from the left edge of the picture.
    fn pixel(self, at: i64) -> i32 {
        let width = f64::from(WIDTH - MARGIN_LEFT - MARGIN_RIGHT);
        MARGIN_LEFT as i32 + (self.place(at) / self.seconds * width).round() as i32
    }
}

/// Draws the picture.
///
/// # Errors
/// Where the breaker component fails, or plotters can't draw.
pub(crate) fn draw(replayed: &Replayed, series: &Series) -> anyhow::Result<String> {
    let time = Time::of(replayed);
    let states_height = states::height(replayed, time);
    let panels = panels::panels(replayed, series)?;
    let panels_height: u32 = panels.iter().map(|panel| panel.height).sum();
    let height = style::HEADER + states_height + panels_height + style::AXIS;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        paint(&root, replayed, series, time, states_height, &panels).map_err(|error| anyhow!("can't draw: {error}"))?;
        root.present().map_err(|error| anyhow!("can't draw: {error}"))?;
    }
    Ok(svg)
}

/// What plotters says, whatever its type.
type Drawn = Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn paint(
    root: &Area<'_>,
    replayed: &Replayed,
    series: &Series,
    time: Time,
    states_height: u32,
    panels: &[panels::Panel],
) -> Drawn {
    root.fill(&style::PAPER)?;
    let (header, rest) = root.split_vertically(style::HEADER);
    draw_header(&header, replayed)?;
    let (states, mut rest) = rest.split_vertically(states_height);
    for (index, panel) in panels.iter().enumerate() {
        let last = index + 1 == panels.len();
        let height = panel.height + if last { style::AXIS } else { 0 };
        let (area, below) = rest.split_vertically(height);
        panels::draw(&area, panel, replayed, series, time, last)?;
        rest = below;
    }
    // Last, so that its marks lie over the panels.
    states::draw(root, &states, replayed, time, style::HEADER, panels.iter().map(|panel| panel.height).sum())?;
    Ok(())
}

fn draw_header(area: &Area<'_>, replayed: &Replayed) -> Drawn {
    let title = match &replayed.lanes[..] {
        [lane] => lane.name().to_owned(),
        lanes => format!("{} policies", lanes.len()),
    };
    style::text(area, &title, (MARGIN_LEFT as i32, 18), &style::title())?;
    let calls = grouped(replayed.calls);
    let length = span(replayed.last_at.abs_diff(replayed.first_at));
    let mut subtitle = format!("{}: {calls} calls in {length}", replayed.trace);
    if let [lane] = &replayed.lanes[..] {
        let tally = &lane.tally;
        let times = |count: u64| match count {
            1 => "once".to_owned(),
            2 => "twice".to_owned(),
            count => format!("{} times", grouped(count)),
        };
        if tally.trip_count == 0 {
            subtitle.push_str("; never tripped");
        } else {
            subtitle.push_str(&format!("; tripped {}", times(tally.trip_count)));
            if tally.reopen_count > 0 {
                subtitle.push_str(&format!(", opened again {}", times(tally.reopen_count)));
            }
            let refused = tally.refused.calls;
            subtitle.push_str(&format!("; refused {} calls ({})", grouped(refused), share(refused, replayed.calls)));
        }
    }
    style::text(area, &subtitle, (MARGIN_LEFT as i32, 44), &style::small())?;
    Ok(())
}
