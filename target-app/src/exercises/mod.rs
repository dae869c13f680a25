//! The exercises. To add one: a folder here that declares it, and its line in the list at the bottom.

/// Declares the variants of an exercise: their modules, the enum to dispatch on, and their entries in the catalogue.
///
/// One line a variant, buggy first and fixed last: `Name "kebab-name" module Kind "claim"`.
macro_rules! variants {
    ($($variant:ident $name:literal $module:ident $kind:ident $claim:literal)+) => {
        $(mod $module;)+

        /// Which way the exercise's function is written.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Variant {
            $(#[doc = $claim] $variant,)+
        }

        impl Variant {
            /// All of them, in catalogue order.
            pub const ALL: &[Variant] = &[$(Variant::$variant),+];

            const ENTRIES: &[$crate::catalogue::Variant] = &[
                $($crate::catalogue::Variant {
                    name: $name,
                    kind: $crate::catalogue::Kind::$kind,
                    claim: $claim,
                    source: include_str!(concat!(stringify!($module), ".rs")),
                }),+
            ];

            /// What the catalogue says of it.
            pub fn entry(self) -> &'static $crate::catalogue::Variant {
                &Self::ENTRIES[self as usize]
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
                    self.$exercise = $exercise::Variant::ALL.iter().copied()
                        .find(|variant| variant.entry().name == entry.name)
                        .expect("a variant in the catalogue is in its enum");
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
