//! What `init` says at its end.

use super::{InitAnswer, replace};
use crate::cli::session::Session;
use crate::ui::escape;

/// Says what was set up, and what is next.
pub(super) fn tell(session: &Session, answer: &InitAnswer) {
    let ui = &session.ui;
    let field = |name: &str, text: &str| ui.line(&format!("  {name:<9} {}", escape(text)));
    ui.line(&format!("{} {}", ui.out.ok(), session.place()));
    field("serving", &answer.serving.to_string());
    field("binding", &answer.binding);
    field(
        "records",
        &match answer.records.as_slice() {
            [] => "nothing new to record".to_owned(),
            made => made.iter().map(|r| format!("#{}", r.seq)).collect::<Vec<_>>().join(" "),
        },
    );
    if answer.adopted {
        let word = if answer.records.is_empty() { "healthy" } else { "adopted" };
        field(word, "what serves was observed healthy: `back` can return to it");
    }
    if !answer.kept.is_empty() {
        field("kept", &answer.kept.join(", "));
    }
    if !answer.adopted_tags.is_empty() {
        field("tags", &adopted_tags(&answer.adopted_tags));
    }
    for missing in &answer.missing {
        field("missing", missing);
    }
    for warning in &answer.warnings {
        field("warning", warning);
    }
    replace::tell(ui, &answer.leftovers, &answer.unread);
    match &answer.back_to {
        Some(back) => field("tonight", &format!("gitroll back would go to {back}")),
        None if answer.adopted => {
            field(
                "tonight",
                "this is the first state known: after the next deploy, back returns to it",
            );
            if !answer.adopted_tags.is_empty() {
                field(
                    "",
                    "gitroll targets shows the tags; gitroll back --to last-stable takes one",
                );
            }
        }
        None => field("tonight", "gitroll back has nowhere to go before something was proven here"),
    }
    if answer.wrote_config {
        field("next", "read gitroll.toml, correct it, then: git add gitroll.toml && git commit");
    } else if answer.adopted {
        field("next", "gitroll deploy");
    } else {
        field("next", "mend what is missing in gitroll.toml, then gitroll init again");
        field("", "or gitroll deploy, which starts the services and proves them");
    }
}

fn adopted_tags(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match more {
        0 => format!("adopted {shown}"),
        _ => format!("adopted {shown} and {more} more"),
    }
}
