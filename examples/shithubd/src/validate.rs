//! What names and texts from outside may look like. Names become paths, so the rules are strict.

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("a user name is 1 to 39 of a-z, 0-9 and '-', and begins with a letter or digit")]
    UserName,
    #[error(
        "a repository name is 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-', begins with a letter, digit or '_', \
         has no '..' and does not end with '.git' or '.lock'"
    )]
    RepoName,
    #[error("{field} is longer than {limit} bytes")]
    TooLong { field: &'static str, limit: usize },
    #[error("{field} is empty")]
    Empty { field: &'static str },
    #[error("{field} contains a control character")]
    Control { field: &'static str },
}

pub fn user_name(name: &str) -> Result<(), Invalid> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good =
        (1..=39).contains(&name.len()) && name.starts_with(fits) && name.chars().all(|c| fits(c) || c == '-');
    if good { Ok(()) } else { Err(Invalid::UserName) }
}

pub fn repo_name(name: &str) -> Result<(), Invalid> {
    let good = (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        && !name.contains("..")
        && !name.ends_with('.')
        && [".git", ".lock"].iter().all(|end| !name.to_ascii_lowercase().ends_with(end));
    if good { Ok(()) } else { Err(Invalid::RepoName) }
}

/// One line of text, such as a title: not empty, no control characters.
pub fn line(field: &'static str, text: &str, limit: usize) -> Result<(), Invalid> {
    if text.trim().is_empty() {
        return Err(Invalid::Empty { field });
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::Control { field });
    }
    self::text(field, text, limit)
}

/// Free text. PostgreSQL cannot store NUL, so neither database is asked to.
pub fn text(field: &'static str, text: &str, limit: usize) -> Result<(), Invalid> {
    if text.len() > limit {
        return Err(Invalid::TooLong { field, limit });
    }
    if text.contains('\0') {
        return Err(Invalid::Control { field });
    }
    Ok(())
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
