//! Colours, sizes and texts of the plot.

use plotters::prelude::{FontFamily, FontStyle, IntoFont, RGBAColor, RGBColor, TextStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform};
use softfuse::State;

use super::{Area, Drawn};

/// Pixels.
pub(crate) const WIDTH: u32 = 1_200;
pub(crate) const HEADER: u32 = 66;
pub(crate) const AXIS: u32 = 42;
pub(crate) const MARGIN_LEFT: u32 = 76;
pub(crate) const MARGIN_RIGHT: u32 = 24;

pub(crate) const PAPER: RGBColor = RGBColor(255, 255, 255);
pub(crate) const INK: RGBColor = RGBColor(31, 41, 51);
pub(crate) const INK_SOFT: RGBColor = RGBColor(97, 110, 124);
pub(crate) const GRID: RGBColor = RGBColor(232, 235, 240);
pub(crate) const FRAME: RGBColor = RGBColor(203, 210, 217);
pub(crate) const DATA: RGBColor = RGBColor(37, 99, 235);
pub(crate) const DATA_DARK: RGBColor = RGBColor(29, 66, 160);
pub(crate) const REFUSED: RGBColor = RGBColor(154, 165, 177);
pub(crate) const FAILURE: RGBColor = RGBColor(190, 24, 93);
pub(crate) const LIMIT: RGBColor = RGBColor(209, 67, 67);
const CLOSED: RGBColor = RGBColor(129, 199, 152);
const OPEN: RGBColor = RGBColor(226, 85, 77);
const HALF_OPEN: RGBColor = RGBColor(244, 178, 62);

/// A state's colour in the strip.
pub(crate) fn state(state: State) -> RGBColor {
    match state {
        State::Open | State::ForcedOpen => OPEN,
        State::HalfOpen => HALF_OPEN,
        State::Closed | State::Disabled | State::MetricsOnly => CLOSED,
    }
}

/// A state's colour behind the data.
pub(crate) fn state_behind(state: State) -> Option<RGBAColor> {
    match state {
        State::Open | State::ForcedOpen => Some(OPEN.mix(0.10)),
        State::HalfOpen => Some(HALF_OPEN.mix(0.16)),
        State::Closed | State::Disabled | State::MetricsOnly => None,
    }
}

fn sans(size: f64, style: FontStyle) -> TextStyle<'static> {
    // plotters divides sizes by 1.24 on its way to SVG.
    (FontFamily::SansSerif, size * 1.24, style).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Top))
}

pub(crate) fn title() -> TextStyle<'static> {
    sans(19.0, FontStyle::Bold)
}

pub(crate) fn small() -> TextStyle<'static> {
    sans(13.0, FontStyle::Normal).color(&INK_SOFT)
}

pub(crate) fn label() -> TextStyle<'static> {
    sans(12.0, FontStyle::Normal)
}

pub(crate) fn label_bold() -> TextStyle<'static> {
    sans(12.0, FontStyle::Bold)
}

/// A label that stands on end, beside an axis.
pub(crate) fn axis_name() -> TextStyle<'static> {
    (FontFamily::SansSerif, 13.0 * 1.24, FontStyle::Bold)
        .into_font()
        .transform(FontTransform::Rotate270)
        .color(&INK)
        .pos(Pos::new(HPos::Center, VPos::Top))
}

/// How wide a text will be, by the widths that sans-serif fonts have in the mean.
pub(crate) fn width(text: &str, size: f64) -> i32 {
    const EM_SHARE: f64 = 0.54;
    (text.chars().count() as f64 * size * EM_SHARE).ceil() as i32
}

/// Writes a text.
pub(crate) fn text(area: &Area<'_>, text: &str, at: (i32, i32), style: &TextStyle<'_>) -> Drawn {
    area.draw_text(text, style, at)?;
    Ok(())
}
