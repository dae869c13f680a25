//! What criterion itself says of two processes.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::directory_of;
use crate::gate::criterion::{Executable, finish};

/// Criterion's words for a change. It never writes them to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CriterionVerdict {
    /// "Performance has regressed."
    Regressed,
    /// "Performance has improved."
    Improved,
    /// "Change within noise threshold." or "No change in performance detected."
    Unchanged,
}

impl CriterionVerdict {
    fn from_words(words: &str) -> Option<Self> {
        [
            ("Performance has regressed.", CriterionVerdict::Regressed),
            ("Performance has improved.", CriterionVerdict::Improved),
            ("Change within noise threshold.", CriterionVerdict::Unchanged),
            ("No change in performance detected.", CriterionVerdict::Unchanged),
        ]
        .into_iter()
        .find_map(|(phrase, verdict)| words.contains(phrase).then_some(verdict))
    }
}

/// Lets criterion compare the samples of two processes that wrote below `base` and `head`, with its own defaults for
/// everything. Nothing is run again.
pub fn compare(
    executable: &Executable,
    id: &str,
    base: &Path,
    head: &Path,
) -> anyhow::Result<CriterionVerdict> {
    let (base, at_head) = (directory_of(base)?, directory_of(head)?);
    for (from, to) in [(base.join("new"), "base"), (at_head.join("new"), "head")] {
        copy_files(&from, &at_head.join(to)).context("could not arrange criterion's files")?;
    }
    let output = finish(executable.command(head).args([
        "--bench",
        "--exact",
        id,
        "--noplot",
        "--color=never",
        "--load-baseline=head",
        "--baseline=base",
    ]))?;
    let words = String::from_utf8_lossy(&output.stdout);
    CriterionVerdict::from_words(&words).with_context(|| format!("criterion gave no verdict: {words}"))
}

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criterions_words_are_understood() {
        let said = "known-work  time: [1 µs 2 µs 3 µs]\n  change: [+4% +5% +6%] (p = 0.00 < 0.05)\n  Performance has regressed.\n";
        assert_eq!(CriterionVerdict::from_words(said), Some(CriterionVerdict::Regressed));
        assert_eq!(CriterionVerdict::from_words("known-work  time: [1 µs 2 µs 3 µs]"), None);
    }
}
