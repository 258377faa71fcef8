//! Which lines to replace, so that nothing deploys past gitroll.

use crate::adopt::leftovers::Leftover;
use crate::ui::{Ui, escape, plural};

/// Tells each line with the one to put in its place.
pub(super) fn tell(ui: &Ui, leftovers: &[Leftover], unread: &[String]) {
    if !leftovers.is_empty() {
        let lines = plural(leftovers.len(), "line");
        ui.line(&format!("  replace   {lines} that would deploy past gitroll:"));
    }
    for Leftover { place, line, text, replacement } in leftovers {
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        ui.line(&format!("    {}{line}", escape(place)));
        ui.line(&format!("      - {}", escape(text.trim_start())));
        ui.line(&match replacement {
            Some(new) => format!("      + {}", escape(new.trim_start())),
            None => "      + (nothing: the other lines do it)".to_owned(),
        });
    }
    for unread in unread {
        ui.line(&format!("  unread    {}", escape(unread)));
    }
}
