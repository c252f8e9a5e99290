use super::*;

const ALL: [Forge; 3] = [Forge::GitHub, Forge::GitLab, Forge::Forgejo];

#[test]
fn names_of_projects_stay_inside_their_place_in_the_path() {
    assert_eq!(Forge::GitHub.issues("owner/name"), "/repos/owner/name/issues");
    assert_eq!(Forge::GitHub.issues("owner/na?me#"), "/repos/owner/na%3Fme%23/issues");
    assert_eq!(Forge::GitLab.issues("group/sub/name"), "/projects/group%2Fsub%2Fname/issues");
}

#[test]
fn an_issue_is_read_as_each_of_them_writes_it() {
    let github = serde_json::json!({ "number": 7, "state": "open", "body": "b", "html_url": "https://x/7" });
    let gitlab =
        serde_json::json!({ "iid": 7, "state": "opened", "description": "b", "web_url": "https://x/7" });
    let expected = Listed { number: 7, open: true, text: "b".into(), place: Some("https://x/7".into()) };
    assert_eq!(Forge::GitHub.listed(&github), Some(expected.clone()));
    assert_eq!(Forge::Forgejo.listed(&github), Some(expected.clone()));
    assert_eq!(Forge::GitLab.listed(&gitlab), Some(expected));
    // GitHub lists pull requests as issues too.
    let pull = serde_json::json!({ "number": 8, "state": "open", "pull_request": {} });
    assert_eq!(Forge::GitHub.listed(&pull), None);
}

#[test]
fn nothing_hostile_in_a_list_is_taken_for_an_issue() {
    for forge in ALL {
        for value in [serde_json::json!(null), serde_json::json!({ "number": "7" }), serde_json::json!([])] {
            assert_eq!(forge.listed(&value), None);
        }
        let script = serde_json::json!({
            "number": 7, "iid": 7, "state": "open", "html_url": "javascript:alert(1)", "web_url": "file:///etc",
        });
        assert_eq!(forge.listed(&script).and_then(|listed| listed.place), None);
    }
}
