use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use crate::statistics::Spread;

/// With the first column of words and the others of numbers.
pub(crate) fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

pub(crate) fn milliseconds(spread: Spread) -> String {
    format!("{:.2} / {:.2}", spread.min, spread.median)
}

pub(crate) fn ratio(spread: Spread) -> String {
    format!("{:.2} / {:.2}", spread.min, spread.median)
}
