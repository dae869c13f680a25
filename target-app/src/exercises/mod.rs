//! The exercises. Each is a folder here that declares it, its `mod`, and its line in the list at the bottom. `stampede new` adds one.

use crate::catalogue::{Exercise, UnknownName};
use crate::telemetry::MetricSpec;
use crate::telemetry::spec::METRICS;

/// Declares the variants of an exercise: the enum to dispatch on, and their entries in the catalogue.
///
/// One line a variant, buggy first and fixed last: `Name "kebab-name" module Kind "claim" ["check-that-must-fail"]`.
macro_rules! variants {
    ($($variant:ident $name:literal $module:ident $kind:ident $claim:literal [$($must_fail:literal)*])+) => {
        /// Which way the exercise's function is written.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Variant {
            $(#[doc = $claim] $variant,)+
            /// A solution of the corpus, by its name.
            #[cfg(feature = "corpus")]
            Corpus(&'static str),
        }

        impl Variant {
            /// All that the catalogue lists, in its order.
            pub const ALL: &[Variant] = &[$(Variant::$variant),+];

            const ENTRIES: &[$crate::catalogue::Variant] = &[
                $($crate::catalogue::Variant {
                    name: $name,
                    kind: $crate::catalogue::Kind::$kind,
                    claim: $claim,
                    must_fail: &[$($must_fail),*],
                    source: include_str!(concat!(stringify!($module), ".rs")),
                }),+
            ];

            #[cfg(feature = "corpus")]
            const CORPUS: &[$crate::catalogue::Variant] = corpus::SOLUTIONS;

            #[cfg(not(feature = "corpus"))]
            const CORPUS: &[$crate::catalogue::Variant] = &[];

            /// The variant called `name`, listed or not.
            pub(super) fn named(name: &'static str) -> Option<Self> {
                match name {
                    $($name => Some(Variant::$variant),)+
                    #[cfg(feature = "corpus")]
                    name if Self::CORPUS.iter().any(|solution| solution.name == name) => Some(Variant::Corpus(name)),
                    _ => None,
                }
            }

            /// What the catalogue says of it.
            pub fn entry(self) -> &'static $crate::catalogue::Variant {
                let name = match self {
                    $(Variant::$variant => $name,)+
                    #[cfg(feature = "corpus")]
                    Variant::Corpus(name) => name,
                };
                let mut entries = Self::ENTRIES.iter().chain(Self::CORPUS);
                entries.find(|entry| entry.name == name).expect("each variant has an entry")
            }
        }
    };
}

/// Declares an exercise's corpus: solutions that somebody could have written, by which the judge is judged. Each is a file
/// with the exercise's function, whose signature comes first; then one line a solution:
/// `module "kebab-name" Kind "what it is"`, where a `Tempting` one must be exposed and a `Fixed` one come out clean.
#[cfg(feature = "corpus")]
macro_rules! corpus {
    (
        async fn $function:ident($($argument:ident: $type:ty),+) -> $answer:ty;
        $($module:ident $name:literal $kind:ident $claim:literal)+
    ) => {
        $(mod $module;)+

        pub(super) const SOLUTIONS: &[$crate::catalogue::Variant] = &[
            $($crate::catalogue::Variant {
                name: $name,
                kind: $crate::catalogue::Kind::$kind,
                claim: $claim,
                must_fail: &[],
                source: include_str!(concat!(stringify!($module), ".rs")),
            }),+
        ];

        corpus!(@function $function($($argument: $type),+) ($($argument),+) -> $answer; $($module $name)+);
    };
    // A step of its own: arguments and solutions cannot be repeated in one another, so here the former are one token.
    (
        @function $function:ident($($argument:ident: $type:ty),+) $arguments:tt -> $answer:ty;
        $($module:ident $name:literal)+
    ) => {
        /// The exercise's function as `solution` writes it.
        pub(super) async fn $function(solution: &'static str, $($argument: $type),+) -> $answer {
            match solution {
                $($name => $module::$function $arguments.await,)+
                _ => unreachable!("only names of solutions become variants"),
            }
        }
    };
}

/// Declares the exercises: the catalogue's list, the choice of variants, and the exercises as a server runs them.
macro_rules! exercises {
    ($($exercise:ident)+) => {
        /// All exercises, in catalogue order.
        pub static EXERCISES: &[&Exercise] = &[$(&$exercise::EXERCISE),+];

        /// The exercises as a server runs them, each with what it keeps as long as the server lives.
        #[derive(Debug)]
        pub struct Exercises {
            /// The variant of each.
            pub variants: Variants,
            $(#[doc = concat!("`", stringify!($exercise), "`.")] pub $exercise: $exercise::Service,)+
        }

        impl Exercises {
            /// In these variants.
            pub fn new(variants: Variants) -> Self {
                Exercises { variants, $($exercise: $exercise::Service::new(variants.$exercise),)+ }
            }
        }

        /// The variant of each exercise that a server runs.
        #[derive(Debug, Clone, Copy)]
        pub struct Variants {
            $(#[doc = concat!("That of `", stringify!($exercise), "`.")] pub $exercise: $exercise::Variant,)+
        }

        impl Variants {
            /// Every exercise in its buggy variant.
            pub const BUGGY: Variants = Variants { $($exercise: $exercise::Variant::ALL[0],)+ };

            /// Every exercise in its fixed variant.
            pub const FIXED: Variants =
                Variants { $($exercise: $exercise::Variant::ALL[$exercise::Variant::ALL.len() - 1],)+ };

            /// Runs exercise `id` in the variant called `name`.
            pub fn set(&mut self, id: &str, name: &str) -> Result<(), UnknownName> {
                let exercise = exercise(id)?;
                let entry = exercise.variant(name)?;
                $(if exercise.id == $exercise::EXERCISE.id {
                    self.$exercise =
                        $exercise::Variant::named(entry.name).expect("a variant in the catalogue is in its enum");
                })+
                Ok(())
            }

            /// Each exercise's id with its variant.
            pub fn entries(&self) -> Vec<(&'static str, &'static $crate::catalogue::Variant)> {
                vec![$(($exercise::EXERCISE.id, self.$exercise.entry())),+]
            }
        }
    };
}

pub mod double_charge;
pub mod frozen_health;
pub mod hung_payments;
pub mod oversold_stock;
pub mod sale_meltdown;
pub mod skipped_in_line;
pub mod slow_analytics;
pub mod slow_order_list;

exercises! {
    oversold_stock
    slow_order_list
    frozen_health
    slow_analytics
    hung_payments
    double_charge
    sale_meltdown
    skipped_in_line
}

/// The exercises of the tour, which `stampede compare` runs when none is named: as few as show what the lab is for, so that the
/// first run does not take long.
pub static TOUR: &[&Exercise] =
    &[&oversold_stock::EXERCISE, &frozen_health::EXERCISE, &slow_analytics::EXERCISE];

/// The exercise called `id`.
pub fn exercise(id: &str) -> Result<&'static Exercise, UnknownName> {
    EXERCISES
        .iter()
        .copied()
        .find(|exercise| exercise.id == id)
        .ok_or_else(|| UnknownName::new("exercise", id, EXERCISES.iter().map(|exercise| exercise.id)))
}

/// Every metric that a server exports: the general ones, then those of the exercises.
pub fn all_metrics() -> impl Iterator<Item = &'static MetricSpec> + Clone {
    let business = EXERCISES.iter().flat_map(|exercise| exercise.metrics);
    METRICS.iter().chain(business).copied()
}
