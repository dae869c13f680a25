//! The name under which a project's servers, directories and variables go.

/// The project that asks for a server.
///
/// Its name begins the names of all that is made for it: databases, roles, users and directories. In upper case it begins those
/// of the environment variables. Projects with different names share a server without touching each other's databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Project(&'static str);

impl Project {
    /// The project called `name`: 1 to 32 of `a` to `z`, `0` to `9` and `_`, the first one a letter. It must not begin with
    /// `pg_`, which PostgreSQL keeps for itself.
    ///
    /// # Panics
    ///
    /// When the name is not like that. As the value of a constant, it does not compile.
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(matches!(bytes.len(), 1..=32), "a project's name has 1 to 32 characters");
        assert!(bytes[0].is_ascii_lowercase(), "a project's name begins with a letter of a to z");
        assert!(!matches!(bytes, [b'p', b'g', b'_', ..]), "names that begin with pg_ are PostgreSQL's own");
        let mut at = 1;
        while at < bytes.len() {
            let plain = matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'_');
            assert!(plain, "a project's name is made of a to z, 0 to 9 and _");
            at += 1;
        }
        Self(name)
    }

    /// The name.
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// The environment variable that names the directory for servers and caches: `ACME_HOME` for `acme`.
    pub fn home_variable(self) -> String {
        self.variable("HOME")
    }

    /// The environment variable that names a directory of PostgreSQL's binaries, or says `portable`: `ACME_POSTGRES_BIN` for
    /// `acme`.
    pub fn binaries_variable(self) -> String {
        self.variable("POSTGRES_BIN")
    }

    /// An environment variable of the project: `ACME_NATS_BIN` for `acme` and `NATS_BIN`.
    pub fn variable(self, what: &str) -> String {
        format!("{}_{what}", self.0.to_ascii_uppercase())
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn a_name_begins_all_others() {
        let project = Project::new("tea_2");
        assert_eq!(project.home_variable(), "TEA_2_HOME");
        assert_eq!(project.binaries_variable(), "TEA_2_POSTGRES_BIN");
        assert_eq!(project.variable("NATS_BIN"), "TEA_2_NATS_BIN");
    }

    #[test]
    fn names_that_need_quotes_are_refused() {
        for name in
            ["", "2tea", "_tea", "Tea", "tea-2", "tea;", "pg_tea", "a_name_of_thirty_three_characters"]
        {
            assert!(catch_unwind(|| Project::new(name)).is_err(), "{name}");
        }
    }
}
