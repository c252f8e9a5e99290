use super::*;

#[test]
fn names_that_would_leave_their_folder_are_refused() {
    for name in
        ["", ".", "..", "a/b", "../a", "a..b", "-a", "a.git", "A.GIT", "a.lock", "a.", "a b", "a\0", "ä"]
    {
        assert_eq!(repo_name(name), Err(Invalid::RepoName), "{name:?}");
    }
    for name in ["", "-a", "A", "a_b", "a/b", "a.b", "..", &"a".repeat(40)] {
        assert_eq!(user_name(name), Err(Invalid::UserName), "{name:?}");
    }
}

#[test]
fn ordinary_names_are_accepted() {
    for name in ["a", "kernel", "dot.files", "_x", "A-1", &"r".repeat(64)] {
        assert_eq!(repo_name(name), Ok(()), "{name:?}");
    }
    for name in ["a", "ada", "ada-2", "0x", &"a".repeat(39)] {
        assert_eq!(user_name(name), Ok(()), "{name:?}");
    }
}

#[test]
fn texts_are_bounded_and_hold_no_nul() {
    assert_eq!(line("title", "  ", 10), Err(Invalid::Empty { field: "title" }));
    assert_eq!(line("title", "a\nb", 10), Err(Invalid::Control { field: "title" }));
    assert_eq!(line("title", "abc", 2), Err(Invalid::TooLong { field: "title", limit: 2 }));
    assert_eq!(text("body", "a\nb\0", 10), Err(Invalid::Control { field: "body" }));
    assert_eq!(text("body", "a\nb", 10), Ok(()));
}
