//! What took effect, and under which idempotency key.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Entries that a ledger keeps; more are refused.
const MOST: usize = 200_000;

/// The entries of one service, in the order in which they took effect.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    entries: Vec<Entry>,
    by_key: HashMap<String, usize>,
}

/// Something that took effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its number in the ledger, from 1.
    pub number: usize,
    /// The idempotency key that it was asked for with.
    pub key: Option<String>,
    /// How often a request with this key arrived, this one included.
    pub requests: u32,
    /// Whether it was undone.
    pub undone: bool,
    /// What was asked for.
    pub request: Value,
}

/// What a request came to.
#[derive(Debug, PartialEq)]
pub enum Entered {
    /// It took effect.
    New(Entry),
    /// It had taken effect before, under the same key.
    Before(Entry),
    /// The key belongs to another request.
    Conflict,
    /// The ledger has no room.
    Full,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Book> {
        // An entry is complete before its key is known.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a request, unless one with its key is there already. Without a key, each is a new one.
    pub fn enter(&self, key: Option<String>, request: Value) -> Entered {
        let mut book = self.lock();
        if let Some(place) = key.as_ref().and_then(|key| book.by_key.get(key)).copied() {
            let entry = &mut book.entries[place];
            entry.requests += 1;
            return if entry.request == request { Entered::Before(entry.clone()) } else { Entered::Conflict };
        }
        let place = book.entries.len();
        if place == MOST {
            return Entered::Full;
        }
        let entry = Entry { number: place + 1, key: key.clone(), requests: 1, undone: false, request };
        book.entries.push(entry.clone());
        if let Some(key) = key {
            book.by_key.insert(key, place);
        }
        Entered::New(entry)
    }

    /// Undoes the entry with this number. Again is no error.
    pub fn undo(&self, number: usize) -> Option<Entry> {
        let mut book = self.lock();
        let entry = number.checked_sub(1).and_then(|place| book.entries.get_mut(place))?;
        entry.undone = true;
        Some(entry.clone())
    }

    /// The entry with this key.
    pub fn with_key(&self, key: &str) -> Option<Entry> {
        let book = self.lock();
        book.by_key.get(key).map(|place| book.entries[*place].clone())
    }

    /// The entry with this number.
    pub fn with_number(&self, number: usize) -> Option<Entry> {
        number.checked_sub(1).and_then(|place| self.lock().entries.get(place).cloned())
    }

    /// The entries after the first `after`, `limit` at most.
    pub fn page(&self, after: usize, limit: usize) -> Vec<Entry> {
        self.lock().entries.iter().skip(after).take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    #[test]
    fn a_key_takes_effect_once_and_for_one_request() {
        let ledger = Ledger::default();
        let Entered::New(first) = ledger.enter(key("a"), json!({"amountCents": 5})) else {
            panic!("it is new")
        };
        let Entered::Before(again) = ledger.enter(key("a"), json!({"amountCents": 5})) else {
            panic!("it was there")
        };
        assert_eq!((again.number, again.requests), (first.number, 2));
        assert_eq!(ledger.enter(key("a"), json!({"amountCents": 6})), Entered::Conflict);
        assert_eq!(ledger.with_key("a").unwrap().requests, 3);
        assert_eq!(ledger.page(0, 10).len(), 1);
        assert_eq!(ledger.with_key("b"), None);
    }

    #[test]
    fn without_a_key_every_request_is_a_new_one() {
        let ledger = Ledger::default();
        for number in 1..=3 {
            let Entered::New(entry) = ledger.enter(None, json!({})) else { panic!("it is new") };
            assert_eq!(entry.number, number);
        }
        assert_eq!(ledger.page(1, 1)[0].number, 2);
        assert_eq!(ledger.page(3, 1), []);
    }

    #[test]
    fn what_is_undone_stays_in_the_ledger() {
        let ledger = Ledger::default();
        ledger.enter(key("a"), json!({}));
        assert!(ledger.undo(1).unwrap().undone);
        assert!(ledger.undo(1).unwrap().undone);
        assert!(ledger.with_number(1).unwrap().undone);
        for nothing in [0, 2] {
            assert_eq!(ledger.undo(nothing), None);
            assert_eq!(ledger.with_number(nothing), None);
        }
    }

    #[test]
    fn a_ledger_that_is_full_says_so_and_still_knows_its_keys() {
        let ledger = Ledger::default();
        ledger.enter(key("a"), json!({}));
        for _ in 1..MOST {
            ledger.enter(None, Value::Null);
        }
        assert_eq!(ledger.enter(None, json!({})), Entered::Full);
        assert!(matches!(ledger.enter(key("a"), json!({})), Entered::Before(_)));
    }
}
