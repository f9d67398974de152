//! PostgreSQL: where a team wants a database of its own, by an address.

use crate::StorageError;
use crate::migrations::Step;

/// The versions of the tables.
pub(crate) const STEPS: &[Step] = &[(1, "first", include_str!("0001_first.sql"))];

/// Whether an address is one of PostgreSQL.
pub(crate) fn check(url: &str) -> Result<(), StorageError> {
    match url.split_once("://") {
        Some(("postgres" | "postgresql", _)) => Ok(()),
        _ => Err(StorageError::Address { found: shown(url) }),
    }
}

/// An address without its user's password, its options, or anything else worth hiding.
pub(crate) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "an address without ://".to_owned();
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let user = user.split(':').next().unwrap_or_default();
    let at = if user.is_empty() { "" } else { "@" };
    format!("{scheme}://{user}{at}{host}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let check = |url, expected| assert_eq!(shown(url), expected);
        check("postgres://anna:s3cret@db.example:5432/apertis?password=x", "postgres://anna@db.example:5432/apertis");
        check("postgres://anna:a@b:c@db/apertis", "postgres://anna@db/apertis");
        check("postgres://db/apertis", "postgres://db/apertis");
        check("s3cret", "an address without ://");
    }

    #[test]
    fn other_databases_are_refused() {
        assert!(check("postgres://db/apertis").is_ok());
        assert!(check("mysql://root:pw@db/apertis").unwrap_err().to_string().ends_with("found `mysql://root@db/apertis`"));
    }
}
