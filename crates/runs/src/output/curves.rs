//! `results.png`: loss, learning rate, gradient norm and speed on one page.

use std::path::Path;
use std::sync::Once;

use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use super::number::significant;
use super::series::{Curves, Series, range_of};
use crate::{RunRecord, RunsError};

/// # Units
/// Pixels.
pub const CURVES_WIDTH: u32 = 1600;
/// # Units
/// Pixels.
pub const CURVES_HEIGHT: u32 = 1120;

const FONT: &str = "apertis";
const TEXT: RGBColor = RGBColor(0x1f, 0x1f, 0x1f);
const FAINT_TEXT: RGBColor = RGBColor(0x44, 0x47, 0x46);
const HAIRLINE: RGBColor = RGBColor(0xe1, 0xe3, 0xe1);
const OUTLINE: RGBColor = RGBColor(0x74, 0x77, 0x75);
const TRAIN: RGBColor = RGBColor(0x0b, 0x57, 0xd0);
const TRAIN_RAW: RGBColor = RGBColor(0x8a, 0xb4, 0xf8);
const HELD_OUT: RGBColor = RGBColor(0xb8, 0x50, 0x00);

type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;

/// Draws the curves of a run into a PNG file.
///
/// # Errors
/// The file cannot be written.
pub fn draw_curves(path: &Path, name: &str, record: &RunRecord) -> Result<(), RunsError> {
    draw(path, name, record).map_err(|error| RunsError::Chart { message: error.to_string() })
}

fn draw(path: &Path, name: &str, record: &RunRecord) -> Result<(), Box<dyn std::error::Error>> {
    static FONT_REGISTERED: Once = Once::new();
    FONT_REGISTERED.call_once(|| {
        let registered = register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
        assert!(registered.is_ok(), "the embedded font is whole");
    });
    let curves = Curves::of(record);
    let root = BitMapBackend::new(path, (CURVES_WIDTH, CURVES_HEIGHT)).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.margin(16, 16, 16, 24);
    let (head, body) = root.split_vertically(64);
    head.draw(&Text::new(name.to_owned(), (24, 8), (FONT, 34).into_font().color(&TEXT)))?;
    head.draw(&Text::new(subtitle(record), (24, 44), (FONT, 20).into_font().color(&FAINT_TEXT)))?;
    let (top, bottom) = body.split_vertically(572);
    draw_loss(&top, &curves)?;
    let panels = bottom.split_evenly((1, 3));
    draw_panel(&panels[0], "learning rate", &curves.learning_rate, curves.step_max)?;
    draw_panel(&panels[1], "gradient norm", &curves.grad_norm, curves.step_max)?;
    draw_panel(&panels[2], "tokens per second", &curves.tokens_per_second, curves.step_max)?;
    root.present()?;
    Ok(())
}

fn subtitle(record: &RunRecord) -> String {
    let mut parts = vec![format!("step {} of {}", record.step(), record.total_steps.max(record.step()))];
    if let Some(best) = record.best() {
        parts.push(format!("best held-out loss {} at step {}", significant(best.value.loss, 4), best.step));
    }
    parts.push(super::number::duration(record.elapsed_ms));
    parts.join("  ·  ")
}

fn draw_loss(area: &Area<'_>, curves: &Curves) -> Result<(), Box<dyn std::error::Error>> {
    let (low, high) = range_of(&[&curves.loss, &curves.eval_loss], true);
    let mut chart = ChartBuilder::on(area)
        .caption("loss", (FONT, 22).into_font().color(&TEXT))
        .margin_right(24)
        .x_label_area_size(52)
        .y_label_area_size(92)
        .build_cartesian_2d(0.0..curves.step_max, low..high)?;
    chart
        .configure_mesh()
        .label_style((FONT, 18).into_font().color(&FAINT_TEXT))
        .axis_desc_style((FONT, 18).into_font().color(&FAINT_TEXT))
        .bold_line_style(HAIRLINE)
        .light_line_style(TRANSPARENT)
        .axis_style(OUTLINE)
        .x_labels(12)
        .y_labels(8)
        .x_label_formatter(&|step| significant(*step, 6))
        .y_label_formatter(&|loss| significant(*loss, 4))
        .x_desc("optimizer step")
        .y_desc("nats per target token")
        .draw()?;
    let raw = LineSeries::new(clipped(&curves.loss, high), TRAIN_RAW.stroke_width(1));
    chart.draw_series(raw)?.label("training, each step").legend(|at| key(at, TRAIN_RAW, 2));
    let smooth = LineSeries::new(clipped(&curves.loss_smooth, high), TRAIN.stroke_width(3));
    chart.draw_series(smooth)?.label("training, smoothed").legend(|at| key(at, TRAIN, 3));
    let held_out = clipped(&curves.eval_loss, high);
    let line = LineSeries::new(held_out.clone(), HELD_OUT.stroke_width(3));
    chart.draw_series(line)?.label("held out").legend(|at| key(at, HELD_OUT, 3));
    chart.draw_series(held_out.iter().map(|&at| Circle::new(at, 4, HELD_OUT.filled())))?;
    if let Some(best) = curves.best {
        chart
            .draw_series(std::iter::once(Circle::new(best, 9, HELD_OUT.stroke_width(3))))?
            .label("best")
            .legend(|(x, y)| Circle::new((x + 14, y), 7, HELD_OUT.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font((FONT, 18).into_font().color(&TEXT))
        .background_style(WHITE.mix(0.9))
        .border_style(HAIRLINE)
        .margin(12)
        .legend_area_size(36)
        .draw()?;
    Ok(())
}

fn draw_panel(area: &Area<'_>, title: &str, series: &Series, step_max: f64) -> Result<(), Box<dyn std::error::Error>> {
    let (_, high) = range_of(&[series], true);
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 22).into_font().color(&TEXT))
        .margin_top(14)
        .margin_right(24)
        .x_label_area_size(36)
        .y_label_area_size(92)
        .build_cartesian_2d(0.0..step_max, 0.0..high.max(f64::MIN_POSITIVE))?;
    chart
        .configure_mesh()
        .label_style((FONT, 18).into_font().color(&FAINT_TEXT))
        .bold_line_style(HAIRLINE)
        .light_line_style(TRANSPARENT)
        .axis_style(OUTLINE)
        .x_labels(5)
        .y_labels(6)
        .x_label_formatter(&|step| significant(*step, 6))
        .y_label_formatter(&|value| significant(*value, 4))
        .draw()?;
    chart.draw_series(LineSeries::new(clipped(series, high), TRAIN.stroke_width(2)))?;
    Ok(())
}

fn key((x, y): (i32, i32), color: RGBColor, width: u32) -> PathElement<(i32, i32)> {
    PathElement::new(vec![(x, y), (x + 28, y)], color.stroke_width(width))
}

/// Points above the range run along its upper edge instead of out of the panel.
fn clipped(series: &Series, high: f64) -> Series {
    series.iter().map(|&(x, y)| (x, y.min(high))).collect()
}
