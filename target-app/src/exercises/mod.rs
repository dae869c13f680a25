//! The exercises. To add one: a folder here that declares it, and its line in the list at the bottom.

/// Declares the variants of an exercise: their modules, the enum to dispatch on, and their entries in the catalogue.
///
/// One line a variant, buggy first and fixed last: `Name "kebab-name" module Kind "claim" ["check-that-must-fail"]`.
macro_rules! variants {
    ($($variant:ident $name:literal $module:ident $kind:ident $claim:literal [$($must_fail:literal)*])+) => {
        $(mod $module;)+

        /// Solutions that the judge is judged by.
        #[cfg(feature = "corpus")]
        mod corpus;

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

        /// The exercise's function as `solution` writes it.
        pub(super) async fn $function(solution: &'static str, $($argument: $type),+) -> $answer {
            match solution {
                $($name => $module::$function($($argument),+).await,)+
                _ => unreachable!("only names of solutions become variants"),
            }
        }
    };
}

/// Declares the exercises: their modules, the catalogue's list, and the choice of variants that a server runs.
macro_rules! exercises {
    ($($exercise:ident)+) => {
        $(pub mod $exercise;)+

        /// All exercises, in catalogue order.
        pub static EXERCISES: &[&$crate::catalogue::Exercise] = &[$(&$exercise::EXERCISE),+];

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
            pub fn set(&mut self, id: &str, name: &str) -> Result<(), $crate::catalogue::UnknownName> {
                let exercise = $crate::catalogue::exercise(id)?;
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

exercises! {
    oversold_stock
    frozen_health
    slow_analytics
}
