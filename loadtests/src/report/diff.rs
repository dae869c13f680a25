//! The diff between two variants: the lesson itself.

use maud::{Markup, html};
use similar::{ChangeTag, TextDiff};

/// Unchanged lines around each change.
const CONTEXT: usize = 3;

/// How many lines went and came between two sources.
pub(super) fn size(old: &str, new: &str) -> (usize, usize) {
    let diff = TextDiff::from_lines(old, new);
    let lines = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    (lines(ChangeTag::Delete), lines(ChangeTag::Insert))
}

/// A unified diff, with the words that changed set off within their lines.
///
/// The signs are text, so that the diff survives copying and needs no colour.
pub(super) fn unified(old: &str, new: &str, label: &str) -> Markup {
    let diff = TextDiff::from_lines(old, new);
    let hunks = diff.grouped_ops(CONTEXT);
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            pre.diff {
                @if hunks.is_empty() { span.hunk { "The two sources are the same.\n" } }
                @for (at, hunk) in hunks.iter().enumerate() {
                    @if at > 0 { span.hunk { "⋯\n" } }
                    @for op in hunk {
                        @for change in diff.iter_inline_changes(op) {
                            @let (class, sign) = match change.tag() {
                                ChangeTag::Delete => ("del", "−"),
                                ChangeTag::Insert => ("ins", "+"),
                                ChangeTag::Equal => ("same", " "),
                            };
                            @let comment = change
                                .iter_strings_lossy()
                                .map(|(_, text)| text)
                                .collect::<String>()
                                .trim_start()
                                .starts_with("//");
                            span.line.(class).comment[comment] {
                                span.sign { (sign) }
                                @for (emphasized, text) in change.iter_strings_lossy() {
                                    @let text = text.trim_end_matches('\n');
                                    @if emphasized {
                                        // Indentation is not what changed.
                                        @let word = text.trim_start();
                                        (text[..text.len() - word.len()])
                                        @if !word.is_empty() { mark { (word) } }
                                    } @else {
                                        (text)
                                    }
                                }
                                "\n"
                            }
                        }
                    }
                }
            }
        }
    }
}
