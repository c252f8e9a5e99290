use std::path::Path;
use std::process::Command;

use super::*;

fn write(root: &Path, path: &str, text: &str) {
    let full = root.join(path);
    fs_err::create_dir_all(full.parent().expect("a folder")).expect("made");
    fs_err::write(full, text).expect("written");
}

fn git(root: &Path, arguments: &[&str]) {
    let status = Command::new("git")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .arg("-C")
        .arg(root)
        .args(["-c", "user.name=a", "-c", "user.email=a@example.invalid", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .expect("git runs");
    assert!(status.success(), "git {arguments:?}");
}

async fn disk(project: &Path, folder: Option<&str>) -> Result<Gathered, GatherError> {
    gather(&Source::Disk { project: project.to_owned(), folder: folder.map(Into::into) }).await
}

async fn commit(repository: &Path, revision: &str) -> Result<Gathered, GatherError> {
    let source =
        Source::Commit { repository: repository.to_owned(), revision: revision.to_owned(), folder: None };
    gather(&source).await
}

fn paths(gathered: &Gathered) -> Vec<&str> {
    gathered.files.iter().map(|file| file.path.as_str()).collect()
}

#[tokio::test]
async fn a_folder_is_found_and_its_tool_told_by_the_project() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), "Cargo.toml", "[dependencies]\nsqlx = \"0.9\"\n");
    write(dir.path(), "crates/web/migrations/0001_a.up.sql", "SELECT 1;");
    write(dir.path(), "crates/web/migrations/0001_a.down.sql", "");
    write(dir.path(), "crates/web/migrations/dump.bin", "xx");
    write(dir.path(), "tests/migrations/1_x.sql", "");
    write(dir.path(), "target/migrations/1_x.sql", "");
    let found = disk(dir.path(), None).await.expect("found");
    assert_eq!(found.folder, "crates/web/migrations");
    assert_eq!(found.detection.tool(), Some(Tool::Sqlx));
    assert_eq!(paths(&found), ["0001_a.down.sql", "0001_a.up.sql", "dump.bin"]);
    assert!(found.files[2].bytes.is_empty(), "only SQL is read");
    assert_eq!(found.project_path("0001_a.up.sql"), "crates/web/migrations/0001_a.up.sql");
    let given = disk(dir.path(), Some("tests/migrations")).await.expect("given");
    assert_eq!(paths(&given), ["1_x.sql"]);
}

#[tokio::test]
async fn doubt_is_said_not_guessed() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), "migrations/postgres/1_x.sql", "");
    write(dir.path(), "migrations/sqlite/1_x.sql", "");
    let error = disk(dir.path(), None).await.expect_err("two");
    assert!(matches!(&error, GatherError::SeveralFolders { folders, .. } if folders.len() == 2), "{error}");
    assert_eq!(error.hint().as_deref(), Some("name one, for example `--migrations migrations/postgres`"));
    let empty = tempfile::tempdir().expect("a folder");
    assert!(matches!(disk(empty.path(), None).await, Err(GatherError::NoFolder { .. })));
}

#[cfg(unix)]
#[tokio::test]
async fn links_that_lead_out_are_not_followed() {
    let dir = tempfile::tempdir().expect("a folder");
    let secret = dir.path().join("secret.sql");
    fs_err::write(&secret, "SELECT 'secret';").expect("written");
    write(dir.path(), "migrations/1_a.sql", "SELECT 1;");
    let at = |name: &str| dir.path().join("migrations").join(name);
    std::os::unix::fs::symlink(&secret, at("2_out.sql")).expect("linked");
    std::os::unix::fs::symlink("1_a.sql", at("3_in.sql")).expect("linked");
    std::os::unix::fs::symlink(".", at("4_loop")).expect("linked");
    let found = disk(dir.path(), Some("migrations")).await.expect("read");
    assert_eq!(paths(&found), ["1_a.sql", "3_in.sql"]);
    assert_eq!(found.skipped.len(), 2, "{:?}", found.skipped);
}

#[tokio::test]
async fn a_file_over_a_limit_is_handed_over_with_the_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), "migrations/1_a.sql", "");
    let big = fs_err::File::create(dir.path().join("migrations/2_big.sql")).expect("made");
    big.set_len(100 * 1024 * 1024).expect("a hole");
    let why = |found: &Gathered| found.files[1].unread.clone().unwrap_or_default();
    let found = disk(dir.path(), None).await.expect("read");
    assert!(why(&found).starts_with("it has 104857600 bytes"), "{}", why(&found));
    assert_eq!(found.files[1].bytes.len() as u64, HEAD_BYTES);
    assert_eq!(found.files[0].unread, None);
    write(dir.path(), "migrations/2_big.sql", "version https://git-lfs.github.com/spec/v1\n");
    let found = disk(dir.path(), None).await.expect("read");
    assert!(why(&found).contains("`git lfs pull`"), "{}", why(&found));
}

#[tokio::test]
async fn a_commits_file_over_the_limit_is_not_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path();
    git(root, &["init", "-q"]);
    write(root, "migrations/1_a.sql", "SELECT 1;");
    let big = fs_err::File::create(root.join("migrations/2_big.sql")).expect("made");
    big.set_len(FILE_BYTES_MAX as u64 + 1).expect("a hole");
    git(root, &["add", "-A"]);
    git(root, &["commit", "-qm", "one"]);
    let found = commit(root, "HEAD").await.expect("read");
    assert_eq!(paths(&found), ["1_a.sql", "2_big.sql"]);
    assert_eq!(found.files[0].bytes, b"SELECT 1;");
    assert!(found.files[1].unread.as_ref().is_some_and(|why| why.contains("limit")));
    assert!(found.files[1].bytes.len() < 100);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_name_that_is_no_text_is_passed_over() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), "migrations/1_a.sql", "SELECT 1;");
    let name = std::ffi::OsStr::from_bytes(b"2_\xe9.sql");
    fs_err::write(dir.path().join("migrations").join(name), "SELECT 1;").expect("written");
    let found = disk(dir.path(), None).await.expect("read");
    assert_eq!((paths(&found), found.skipped.len()), (vec!["1_a.sql"], 1));
}

#[tokio::test]
async fn a_tag_is_read_without_touching_the_work_tree() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path();
    git(root, &["init", "-q"]);
    write(root, "go.mod", "require github.com/golang-migrate/migrate/v4 v4.19.1\n");
    write(root, "db/migrations/000001_a.up.sql", "SELECT 'v1';");
    git(root, &["add", "-A"]);
    git(root, &["commit", "-qm", "one"]);
    git(root, &["tag", "v1"]);
    write(root, "db/migrations/000001_a.up.sql", "SELECT 'work tree';");
    write(root, "db/migrations/000002_b.up.sql", "SELECT 2;");
    let found = commit(root, "v1").await.expect("read");
    assert_eq!(found.folder, "db/migrations");
    assert_eq!(found.detection.tool(), Some(Tool::GolangMigrate));
    assert_eq!(found.files.len(), 1);
    assert_eq!(found.files[0].bytes, b"SELECT 'v1';");
    assert_eq!(found.commit.as_ref().map(String::len), Some(40));
    let kept = fs_err::read_to_string(root.join("db/migrations/000001_a.up.sql")).expect("there");
    assert_eq!(kept, "SELECT 'work tree';");
    for bad in ["v2", "--help", "", "v1\n", "-x"] {
        let error = commit(root, bad).await.expect_err("no commit");
        assert!(matches!(error, GatherError::NoCommit { .. }), "{bad}: {error}");
    }
    let nowhere = tempfile::tempdir().expect("a folder");
    assert!(matches!(commit(nowhere.path(), "v1").await, Err(GatherError::Git { .. })));
}
