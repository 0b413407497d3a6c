//! The panels with data: quality, errors, latency.

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::element::DashedPathElement;
use plotters::prelude::{Circle, PathElement, Polygon, Rectangle, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor, ShapeStyle};

use super::axis::{self, Scale};
use super::series::{Point, Series};
use super::style::{self, DATA, DATA_DARK, FAILURE, GRID, INK_SOFT, LIMIT, MARGIN_LEFT, MARGIN_RIGHT, REFUSED};
use super::{Area, Drawn, Time, frame};
use crate::output::number;
use crate::replay::Replayed;

const QUALITY_HEIGHT: u32 = 240;
const ERRORS_HEIGHT: u32 = 110;
/// Where no call failed.
const ERRORS_HEIGHT_EMPTY: u32 = 62;
const LATENCY_HEIGHT: u32 = 200;
/// Above a panel, where there is nothing to explain.
const GAP: u32 = 14;
/// Above a panel with a legend.
const GAP_LEGEND: u32 = 28;
/// From this ratio on, latencies are drawn over a logarithmic axis.
const LOG_RATIO: f64 = 20.0;

/// What a panel shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Quality,
    Errors,
    Latency,
}

/// A panel to be drawn.
pub(super) struct Panel {
    pub(super) what: What,
    pub(super) height: u32,
    pub(super) name: &'static str,
    pub(super) scale: Scale,
    /// Places on the axis.
    pub(super) least: f64,
    pub(super) most: f64,
    /// Values with a label.
    pub(super) ticks: Vec<f64>,
    /// The policies' limits, with their labels.
    limits: Vec<(f64, String)>,
}

/// A panel's drawing area with its axes.
pub(super) type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The panels that a replay has something for.
pub(super) fn panels(replayed: &Replayed, series: &Series) -> anyhow::Result<Vec<Panel>> {
    let mut panels = Vec::new();
    if series.any_scores() {
        let limits = limits(replayed, &["quality_below"])?;
        let scores = series.buckets.iter().filter(|(_, bucket)| bucket.scored > 0);
        let ends = scores.flat_map(|(_, bucket)| [bucket.score_min, bucket.score_max]);
        let (least, most) = ends.chain(limits.iter().map(|(limit, _)| *limit)).fold((0.0, 1.0), widen);
        let room = (most - least) * 0.04;
        let ticks = axis::round(least, most, 5);
        panels.push(Panel {
            what: What::Quality,
            height: QUALITY_HEIGHT,
            name: "quality",
            scale: Scale::Linear,
            least: least - room,
            most: most + room,
            ticks,
            limits,
        });
    }
    let failures = series.any_failures();
    let limits_of_errors = limits(replayed, &["error_rate_above"])?;
    panels.push(Panel {
        what: What::Errors,
        height: if failures { ERRORS_HEIGHT } else { ERRORS_HEIGHT_EMPTY },
        name: "errors",
        scale: Scale::Linear,
        least: 0.0,
        most: 1.04,
        ticks: if failures { vec![0.0, 0.5, 1.0] } else { vec![0.0, 1.0] },
        limits: if failures { limits_of_errors } else { Vec::new() },
    });
    panels.push(latency(replayed, series)?);
    Ok(panels)
}

fn widen((least, most): (f64, f64), value: f64) -> (f64, f64) {
    (least.min(value), most.max(value))
}

fn latency(replayed: &Replayed, series: &Series) -> anyhow::Result<Panel> {
    // Room above and below; a bin's edge may lie that much further than its calls, too.
    const SLACK: f64 = 1.15;
    let limits = limits(replayed, &["latency_above"])?;
    let exact = series.points.iter().map(|point| point.latency_ms);
    let binned = series.buckets.iter().flat_map(|(_, bucket)| [bucket.latency_ms(0.0), bucket.latency_ms(1.0)]);
    let binned = binned.flatten().filter(|_| series.points.is_empty());
    let values = exact.chain(binned).chain(limits.iter().map(|(limit, _)| *limit)).filter(|value| *value > 0.0);
    let (least, most) = values.fold((f64::INFINITY, 1.0), widen);
    let (least, most) = (least.min(most) / SLACK, most * SLACK);
    let (scale, least, ticks) = if most / least > LOG_RATIO {
        (Scale::Log, least, axis::decades(least, most))
    } else {
        (Scale::Linear, 0.0, axis::round(0.0, most, 4))
    };
    Ok(Panel {
        what: What::Latency,
        height: LATENCY_HEIGHT,
        name: "latency",
        least: scale.place(least),
        most: scale.place(most),
        scale,
        ticks,
        limits,
    })
}

/// The limits that the policies' conditions of a kind have, each once.
fn limits(replayed: &Replayed, kinds: &[&str]) -> anyhow::Result<Vec<(f64, String)>> {
    let mut limits: Vec<(f64, String)> = Vec::new();
    for lane in &replayed.lanes {
        for reading in lane.status()?.conditions {
            let kind = reading.path.rsplit('.').next().unwrap_or_default();
            if kinds.contains(&kind) && !limits.iter().any(|(limit, _)| *limit == reading.limit) {
                limits.push((reading.limit, format!("{kind} {}", number(reading.limit))));
            }
        }
    }
    Ok(limits)
}

/// Draws a panel; the lowest has the axis of time below it.
pub(super) fn draw(
    area: &Area<'_>,
    panel: &Panel,
    replayed: &Replayed,
    series: &Series,
    time: Time,
    with_axis: bool,
) -> Drawn {
    let axis = if with_axis { style::AXIS } else { 0 };
    let mut chart = ChartBuilder::on(area)
        .margin_top(if panel.has_legend(series) { GAP_LEGEND } else { GAP })
        .margin_right(MARGIN_RIGHT)
        .set_left_and_bottom(axis)
        .build_cartesian_2d(0.0..time.seconds, panel.least..panel.most)?;
    draw_behind(&mut chart, panel, replayed, time)?;
    match (panel.what, series.points.is_empty()) {
        (What::Quality, false) => draw_quality_points(&mut chart, panel, series, time)?,
        (What::Quality, true) => draw_quality_buckets(&mut chart, series, time)?,
        (What::Errors, _) => draw_errors(&mut chart, series, time)?,
        (What::Latency, false) => draw_latency_points(&mut chart, panel, series, time)?,
        (What::Latency, true) => draw_latency_buckets(&mut chart, panel, series, time)?,
    }
    draw_limits(&mut chart, panel, time)?;
    frame::draw_frame(area, &chart, panel)?;
    frame::draw_legend(area, &chart, panel, &frame::legend(panel, replayed, series))?;
    if with_axis {
        frame::draw_axis(area, &chart, replayed.when, time)?;
    }
    Ok(())
}

/// Both label areas at once.
trait LabelAreas<'a, 'b> {
    fn set_left_and_bottom(&mut self, bottom: u32) -> &mut Self;
}

impl<'a, 'b> LabelAreas<'a, 'b> for ChartBuilder<'a, 'b, SVGBackend<'b>> {
    fn set_left_and_bottom(&mut self, bottom: u32) -> &mut Self {
        self.set_label_area_size(plotters::chart::LabelAreaPosition::Left, MARGIN_LEFT);
        self.set_label_area_size(plotters::chart::LabelAreaPosition::Bottom, bottom)
    }
}

/// A line of this colour.
pub(super) fn line(color: RGBColor, width: u32) -> ShapeStyle {
    ShapeStyle { color: color.to_rgba(), filled: false, stroke_width: width }
}

/// The states' colours and the grid. Several policies have several states, so nothing is coloured then.
fn draw_behind(chart: &mut Chart<'_, '_>, panel: &Panel, replayed: &Replayed, time: Time) -> Drawn {
    if let [lane] = &replayed.lanes[..] {
        let bands = lane.tally.bands.until(lane.tally.ended_at()).into_iter().filter_map(|(from, to, state)| {
            let color = style::state_behind(state)?;
            let corners = [(time.place(from), panel.least), (time.place(to), panel.most)];
            Some(Rectangle::new(corners, color.filled()))
        });
        chart.draw_series(bands)?;
    }
    let grid = panel.ticks.iter().map(|tick| {
        let y = panel.scale.place(*tick);
        PathElement::new(vec![(0.0, y), (time.seconds, y)], line(GRID, 1))
    });
    chart.draw_series(grid)?;
    Ok(())
}

fn draw_quality_points(chart: &mut Chart<'_, '_>, panel: &Panel, series: &Series, time: Time) -> Drawn {
    draw_dots(chart, panel, series, time, |point| point.score)?;
    let mean = series.points.iter().filter_map(|point| Some((time.place(point.at), point.mean_score?)));
    chart.draw_series([PathElement::new(mean.collect::<Vec<_>>(), line(DATA_DARK, 2))])?;
    Ok(())
}

/// A dot for each call; refused ones are rings.
fn draw_dots(
    chart: &mut Chart<'_, '_>,
    panel: &Panel,
    series: &Series,
    time: Time,
    value: impl Fn(&Point) -> Option<f64>,
) -> Drawn {
    // Many dots are small dots.
    let radius = if series.points.len() > 1_000 { 2 } else { 3 };
    let dots = series.points.iter().filter_map(|point| {
        let place = (time.place(point.at), panel.scale.place(value(point)?).clamp(panel.least, panel.most));
        let style = match (point.admitted, point.kind.is_failure()) {
            (false, _) => ShapeStyle { color: REFUSED.mix(0.9), filled: false, stroke_width: 1 },
            (true, true) => FAILURE.mix(0.75).filled(),
            (true, false) => DATA.mix(0.45).filled(),
        };
        Some(Circle::new(place, radius, style))
    });
    chart.draw_series(dots)?;
    Ok(())
}

fn draw_quality_buckets(chart: &mut Chart<'_, '_>, series: &Series, time: Time) -> Drawn {
    let scored: Vec<_> = series.buckets.iter().filter(|(_, bucket)| bucket.scored > 0).collect();
    let upper = scored.iter().map(|(at, bucket)| (time.place(*at), bucket.score_max));
    let lower = scored.iter().rev().map(|(at, bucket)| (time.place(*at), bucket.score_min));
    chart.draw_series([Polygon::new(upper.chain(lower).collect::<Vec<_>>(), DATA.mix(0.15).filled())])?;
    let mean = scored.iter().filter_map(|(at, bucket)| Some((time.place(*at), bucket.mean_score()?)));
    chart.draw_series([PathElement::new(mean.collect::<Vec<_>>(), line(DATA_DARK, 2))])?;
    Ok(())
}

fn draw_errors(chart: &mut Chart<'_, '_>, series: &Series, time: Time) -> Drawn {
    if !series.any_failures() {
        let style = style::label().color(&INK_SOFT).pos(Pos::new(HPos::Center, VPos::Center));
        let middle = chart.backend_coord(&(time.seconds / 2.0, 0.52));
        let area = chart.plotting_area().strip_coord_spec();
        let (left, top) = area.get_base_pixel();
        return style::text(&area, "no call failed", (middle.0 - left, middle.1 - top), &style);
    }
    let rate: Vec<(f64, f64)> = if series.points.is_empty() {
        series.buckets.iter().filter_map(|(at, bucket)| Some((time.place(at), bucket.error_rate()?))).collect()
    } else {
        series.points.iter().filter_map(|point| Some((time.place(point.at), point.error_rate?))).collect()
    };
    if let (Some(first), Some(last)) = (rate.first(), rate.last()) {
        let area = rate.iter().copied().chain([(last.0, 0.0), (first.0, 0.0)]);
        chart.draw_series([Polygon::new(area.collect::<Vec<_>>(), FAILURE.mix(0.15).filled())])?;
        chart.draw_series([PathElement::new(rate.clone(), line(FAILURE, 2))])?;
    }
    // A tick for each failure, at the top.
    let failures = series.points.iter().filter(|point| point.kind.is_failure()).map(|point| {
        let x = time.place(point.at);
        let color = if point.admitted { FAILURE } else { REFUSED };
        PathElement::new(vec![(x, 1.04), (x, 0.92)], line(color, 1))
    });
    chart.draw_series(failures)?;
    Ok(())
}

fn draw_latency_points(chart: &mut Chart<'_, '_>, panel: &Panel, series: &Series, time: Time) -> Drawn {
    draw_dots(chart, panel, series, time, |point| Some(point.latency_ms))
}

fn draw_latency_buckets(chart: &mut Chart<'_, '_>, panel: &Panel, series: &Series, time: Time) -> Drawn {
    for (share, width) in [(0.5, 2), (0.95, 1)] {
        let quantile = series.buckets.iter().filter_map(|(at, bucket)| {
            Some((time.place(at), panel.scale.place(bucket.latency_ms(share)?).clamp(panel.least, panel.most)))
        });
        chart.draw_series([PathElement::new(quantile.collect::<Vec<_>>(), line(DATA_DARK, width))])?;
    }
    Ok(())
}

/// The limits, dashed, each with its name at the right.
fn draw_limits(chart: &mut Chart<'_, '_>, panel: &Panel, time: Time) -> Drawn {
    for (limit, name) in &panel.limits {
        let y = panel.scale.place(*limit);
        if !(panel.least..=panel.most).contains(&y) {
            continue;
        }
        let path = vec![(0.0, y), (time.seconds, y)];
        chart.draw_series([DashedPathElement::new(path, 6, 4, line(LIMIT, 1))])?;
        let (x, y) = chart.backend_coord(&(time.seconds, y));
        let area = chart.plotting_area().strip_coord_spec();
        let (left, top) = area.get_base_pixel();
        let style = style::label().color(&LIMIT).pos(Pos::new(HPos::Right, VPos::Bottom));
        let (x, y) = (x - left - 6, y - top - 4);
        let behind = [(x - style::width(name, 12.0), y - 14), (x + 2, y)];
        area.draw(&Rectangle::new(behind, style::PAPER.mix(0.8).filled()))?;
        style::text(&area, name, (x, y), &style)?;
    }
    Ok(())
}

impl Panel {
    fn has_legend(&self, series: &Series) -> bool {
        match self.what {
            What::Quality => true,
            What::Errors => false,
            What::Latency => series.points.is_empty(),
        }
    }

    /// The greatest value that it shows.
    pub(super) fn most_value(&self) -> f64 {
        self.scale.value(self.most)
    }
}
