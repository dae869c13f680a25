//! What an SQL statement is, whatever values it carries: its fingerprint, and a short name for a label.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

/// Statement texts that are remembered. A service that writes values into its SQL makes ever new texts; those after the
/// first thousand are analysed again each time.
const MOST_TEXTS: usize = 1_000;

/// Texts of one length with the same ends that are remembered: finding one is a search through them.
const MOST_ALIKE: usize = 8;

/// Summaries, at most: each is a series for ever.
const MOST_SUMMARIES: usize = 100;

/// Stands for every summary beyond [`MOST_SUMMARIES`].
pub const OTHER: &str = "_OTHER";

/// Length of a summary, at most.
const LONGEST_SUMMARY: usize = 80;

/// What statements have in common that differ in their values only.
#[derive(Debug)]
pub struct Fingerprint {
    /// Of the statement without its values.
    hash: u64,
    /// Operations and their tables, in the order in which they stand, such as `SELECT products`.
    pub summary: Arc<str>,
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

/// Fingerprints by statement text.
#[derive(Debug, Default)]
pub struct Fingerprints(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By [`mark`]; those that share one stand in a list.
    texts: HashMap<u64, Vec<(String, Arc<Fingerprint>)>>,
    len: usize,
    summaries: Vec<Arc<str>>,
}

impl Known {
    fn get(&self, mark: u64, sql: &str) -> Option<&Arc<Fingerprint>> {
        self.texts.get(&mark)?.iter().find(|(text, _)| text == sql).map(|(_, fingerprint)| fingerprint)
    }
}

/// A hash of a text's length and ends: texts are hundreds of bytes long, and a service has few.
fn mark(sql: &str) -> u64 {
    const END: usize = 16;
    let bytes = sql.as_bytes();
    let mut hasher = DefaultHasher::new();
    hasher.write_usize(bytes.len());
    hasher.write(&bytes[..bytes.len().min(END)]);
    hasher.write(&bytes[bytes.len().saturating_sub(END)..]);
    hasher.finish()
}

impl Fingerprints {
    /// The fingerprint of a statement, as its author wrote it.
    pub fn of(&self, sql: &str) -> Arc<Fingerprint> {
        let mark = mark(sql);
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(mark, sql) {
            return known.clone();
        }
        let tokens = tokens(sql);
        let mut hasher = DefaultHasher::new();
        normalized(&tokens).hash(&mut hasher);
        let summary = summary(&tokens);

        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let summary = match known.summaries.iter().find(|other| ***other == summary) {
            Some(other) => other.clone(),
            None if known.summaries.len() < MOST_SUMMARIES => {
                let summary: Arc<str> = summary.into();
                known.summaries.push(summary.clone());
                summary
            }
            None => OTHER.into(),
        };
        let fingerprint = Arc::new(Fingerprint { hash: hasher.finish(), summary });
        if known.len < MOST_TEXTS {
            let alike = known.texts.entry(mark).or_default();
            if alike.len() < MOST_ALIKE {
                alike.push((sql.into(), fingerprint.clone()));
                known.len += 1;
            }
        }
        fingerprint
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// A keyword or a name, without its quotes.
    Word(&'a str),
    /// A literal or a parameter.
    Value,
    /// Any other character.
    Sign(char),
}

impl Token<'_> {
    fn is(self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// Splits a statement, without its spaces and comments. What it does not understand becomes a sign: a fingerprint must
/// never fail.
fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            _ if first.is_whitespace() => (None, first.len_utf8()),
            '-' if rest.starts_with("--") => (None, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (None, rest.find("*/").map_or(rest.len(), |end| end + 2)),
            '\'' => (Some(Token::Value), quoted(rest, '\'')),
            '"' => {
                let length = quoted(rest, '"');
                (Some(Token::Word(rest[..length].trim_matches('"'))), length)
            }
            '$' => (Some(Token::Value), dollar(rest)),
            _ if first.is_ascii_digit() => {
                (Some(Token::Value), run(rest, |c| c.is_alphanumeric() || c == '.'))
            }
            _ if first.is_alphabetic() || first == '_' => {
                let length = run(rest, |c| c.is_alphanumeric() || matches!(c, '_' | '$' | '.'));
                (Some(Token::Word(&rest[..length])), length)
            }
            _ => (Some(Token::Sign(first)), first.len_utf8()),
        };
        tokens.extend(token);
        rest = &rest[length..];
    }
    tokens
}

/// Bytes up to the first character that does not belong.
fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// Bytes of a quoted text with its quotes; a doubled quote does not end it.
fn quoted(text: &str, quote: char) -> usize {
    let mut from = 1;
    loop {
        match text[from..].find(quote) {
            Some(at) if text[from + at + 1..].starts_with(quote) => from += at + 2,
            Some(at) => return from + at + 1,
            None => return text.len(),
        }
    }
}

/// Bytes of a parameter (`$1`) or of a text between dollar signs (`$tag$ … $tag$`).
fn dollar(text: &str) -> usize {
    let tag = 1 + run(&text[1..], |c| c.is_alphanumeric() || c == '_');
    if !text[tag..].starts_with('$') {
        return tag;
    }
    let tag = tag + 1;
    text[tag..].find(&text[..tag]).map_or(text.len(), |end| 2 * tag + end)
}

/// The tokens without the differences that values make: a list of values is one value, however long it is.
fn normalized(tokens: &[Token<'_>]) -> String {
    let mut text = String::new();
    let mut last = [None, None];
    for token in tokens {
        match token {
            Token::Value if last == [Some(Token::Value), Some(Token::Sign(','))] => {
                text.pop();
            }
            Token::Value => text.push('?'),
            Token::Sign(sign) => text.push(*sign),
            Token::Word(word) => {
                text.push(' ');
                text.extend(word.chars().map(|c| c.to_ascii_lowercase()));
            }
        }
        last = [last[1], Some(*token)];
    }
    text
}

/// Operations and the tables that they name. Of a list with commas, that is the first table; what a `WITH` names is none.
fn summary(tokens: &[Token<'_>]) -> String {
    const OPERATIONS: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"];
    const BEFORE_TABLES: [&str; 4] = ["FROM", "JOIN", "INTO", "UPDATE"];

    let at = |index: usize| tokens.get(index).copied().unwrap_or(Token::Sign(' '));
    let named_by_with: Vec<&str> = (0..tokens.len())
        .filter(|&index| at(index + 1).is("AS") && matches!(at(index + 2), Token::Sign('(')))
        .filter_map(|index| match at(index) {
            Token::Word(word) => Some(word),
            _ => None,
        })
        .collect();

    let mut summary = String::new();
    let mut operation = None;
    let mut written = None;
    for index in 0..tokens.len() {
        let before = index.checked_sub(1).map_or(Token::Sign(' '), at);
        // `FOR UPDATE` and `DO UPDATE SET` change no table of their own, `IS DISTINCT FROM` compares.
        if before.is("FOR") || before.is("DO") || before.is("DISTINCT") {
            continue;
        }
        if let Some(found) = OPERATIONS.into_iter().find(|name| at(index).is(name)) {
            operation = Some(found);
        }
        if !BEFORE_TABLES.iter().any(|name| at(index).is(name)) {
            continue;
        }
        let mut next = index + 1;
        while matches!(at(next), Token::Sign('(')) || at(next).is("ONLY") || at(next).is("LATERAL") {
            next += 1;
        }
        let Token::Word(table) = at(next) else { continue };
        let is_table = !table.eq_ignore_ascii_case("SELECT")
            && !named_by_with.contains(&table)
            // A function: `FROM UNNEST(…)`. After `INTO table`, a parenthesis opens the columns.
            && (at(index).is("INTO") || !matches!(at(next + 1), Token::Sign('(')));
        let Some(operation) = operation.filter(|_| is_table) else { continue };
        let words =
            if written == Some(operation) { table.to_owned() } else { format!("{operation} {table}") };
        if summary.len() + words.len() >= LONGEST_SUMMARY {
            break;
        }
        if !summary.is_empty() {
            summary.push(' ');
        }
        summary += &words;
        written = Some(operation);
    }
    if summary.is_empty() {
        // Something without a table: `SELECT 1`, `SET …`.
        if let Token::Word(first) = at(0) {
            summary = operation.map_or_else(|| first.to_uppercase(), str::to_owned);
            summary.truncate(summary.floor_char_boundary(LONGEST_SUMMARY));
        }
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary_of(sql: &str) -> String {
        Fingerprints::default().of(sql).summary.to_string()
    }

    #[test]
    fn a_summary_names_operations_and_tables() {
        for (sql, expected) in [
            ("SELECT id, name FROM products WHERE id = $1 FOR UPDATE", "SELECT products"),
            ("select count(*) from \"products\"", "SELECT products"),
            ("UPDATE products SET stock = $2 WHERE id = $1", "UPDATE products"),
            ("DELETE FROM ONLY orders", "DELETE orders"),
            (
                "WITH placed AS (INSERT INTO orders (id) VALUES ($1))
                 INSERT INTO order_items (order_id) SELECT $1, * FROM UNNEST($6::uuid[])",
                "INSERT orders order_items",
            ),
            (
                "SELECT 1 FROM a AS x JOIN b ON b.id = x.id LEFT JOIN (SELECT 2 FROM c) AS y ON true",
                "SELECT a b c",
            ),
            ("INSERT INTO a (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2", "INSERT a"),
            ("SELECT a IS DISTINCT FROM b FROM t", "SELECT t"),
            ("INSERT INTO archive (id) SELECT id FROM orders", "INSERT archive SELECT orders"),
            ("SELECT 1", "SELECT"),
            ("SET search_path = x", "SET"),
            ("-- FROM nowhere\nSELECT 'FROM b', $$ FROM c $$ /* FROM d */ FROM e", "SELECT e"),
            ("", ""),
            ("'", ""),
            ("$", ""),
        ] {
            assert_eq!(summary_of(sql), expected, "{sql}");
        }
    }

    #[test]
    fn statements_that_differ_in_their_values_have_one_fingerprint() {
        let fingerprints = Fingerprints::default();
        let same = |a: &str, b: &str| fingerprints.of(a) == fingerprints.of(b);
        assert!(same("SELECT * FROM a WHERE id = 1", "select *\n FROM a  WHERE id = 'it''s 2'"));
        assert!(same("SELECT * FROM a WHERE id IN ($1)", "SELECT * FROM a WHERE id IN ($1, $2, $3)"));
        assert!(!same("SELECT * FROM a WHERE id = 1", "SELECT * FROM a WHERE name = 1"));
        assert!(!same("SELECT * FROM a WHERE id IN ($1)", "SELECT * FROM a WHERE id IN ($1) AND b = $2"));
    }

    #[test]
    fn neither_summaries_nor_texts_grow_without_bound() {
        let fingerprints = Fingerprints::default();
        for n in 0..2 * MOST_TEXTS {
            fingerprints.of(&format!("SELECT {n} FROM table_{n}"));
        }
        assert_eq!(&*fingerprints.of("SELECT 1 FROM one_more").summary, OTHER);
        let known = fingerprints.0.read().unwrap();
        assert_eq!((known.len, known.summaries.len()), (MOST_TEXTS, MOST_SUMMARIES));
    }
}
