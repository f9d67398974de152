//! The loss curve as inline SVG for the report.

use std::fmt::Write;

use super::number::significant;
use super::series::{Curves, Series, range_of, ticks};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 44.0;
const TOP: f64 = 12.0;
const RIGHT: f64 = 16.0;

/// The curve of training and held-out loss.
pub(super) fn loss_svg(curves: &Curves) -> String {
    let (low, high) = range_of(&[&curves.loss_smooth, &curves.eval_loss], true);
    let x_of = |step: f64| LEFT + step / curves.step_max * (WIDTH - LEFT - RIGHT);
    let y_of = |loss: f64| {
        let share = (loss.min(high) - low) / (high - low);
        TOP + (1.0 - share) * (HEIGHT - TOP - BOTTOM)
    };
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Training and held-out loss by step\">\n");
    for loss in ticks(low, high, 5) {
        let y = y_of(loss);
        push(
            &mut svg,
            format_args!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                significant(loss, 4),
            ),
        );
    }
    for step in ticks(0.0, curves.step_max, 8) {
        push(
            &mut svg,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
                x_of(step),
                HEIGHT - BOTTOM + 18.0,
                significant(step, 6),
            ),
        );
    }
    push(
        &mut svg,
        format_args!("<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">optimizer step</text>\n", (WIDTH + LEFT) / 2.0, HEIGHT - 6.0,),
    );
    let path = |series: &Series| -> String {
        let points = series.iter().enumerate().map(|(index, &(step, loss))| {
            let verb = if index == 0 { 'M' } else { 'L' };
            format!("{verb}{:.1} {:.1}", x_of(step), y_of(loss))
        });
        points.collect()
    };
    for (class, series) in [("raw", &curves.loss), ("train", &curves.loss_smooth), ("held", &curves.eval_loss)] {
        if !series.is_empty() {
            push(&mut svg, format_args!("<path class=\"{class}\" d=\"{}\"/>\n", path(series)));
        }
    }
    for &(step, loss) in &curves.eval_loss {
        push(&mut svg, format_args!("<circle class=\"held\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>\n", x_of(step), y_of(loss),));
    }
    if let Some((step, loss)) = curves.best {
        push(&mut svg, format_args!("<circle class=\"best\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"7\"/>\n", x_of(step), y_of(loss),));
    }
    svg + "</svg>\n"
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("memory takes every text");
}
