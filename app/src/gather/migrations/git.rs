//! Reads a commit through git's plumbing: `rev-parse`, `ls-tree`, `cat-file`. The work tree, the index and the
//! references are never looked at or changed; nothing is fetched.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use unship_core::tools::MigrationFile;

use super::places::folder_of;
use super::{
    Budget, DEPTH_MAX, GIT_WAIT_MAX, GatherError, Gathered, PROJECT_BYTES_MAX, PROJECT_NAMES, Skipped,
    TOTAL_BYTES_MAX, ancestors, gathered, is_read, read_whole,
};

/// Longest listing of a commit's files, in bytes. The Linux kernel's is 10 MB.
const LISTING_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Longest error text of git that is kept, in bytes.
const MESSAGE_BYTES_MAX: u64 = 64 * 1024;

pub(super) async fn read(
    repository: &Path,
    revision: &str,
    folder: Option<&str>,
) -> Result<Gathered, GatherError> {
    let commit = resolve(repository, revision).await?;
    let listing = run(
        repository,
        "ls-tree",
        &["-r", "-z", "-l", "--full-tree", "--end-of-options", &commit],
        Vec::new(),
        LISTING_BYTES_MAX,
    )
    .await?;
    let entries = parse_listing(&listing)?;
    let place = format!("`{revision}`");
    let folder = match folder {
        Some(folder) => folder.trim_matches('/').trim_start_matches("./").to_owned(),
        None => folder_of(entries.iter().map(|entry| entry.path.as_str()), &place)?,
    };
    let prefix = if folder.is_empty() || folder == "." { String::new() } else { format!("{folder}/") };
    let mut budget = Budget::default();
    let mut skipped = Vec::new();
    let mut wanted: Vec<(String, &Entry)> = Vec::new();
    let mut files = Vec::new();
    let mut seen = false;
    for entry in &entries {
        let Some(path) = entry.path.strip_prefix(&prefix) else { continue };
        seen = true;
        let hidden = path.split('/').any(|part| part.starts_with('.')) && path.contains('/');
        if path.split('/').count() > DEPTH_MAX + 1 || hidden {
            continue;
        }
        match entry.kind {
            Kind::File if is_read(path) => {
                match budget.take(&folder, entry.size)? {
                    None => wanted.push((path.to_owned(), entry)),
                    // git has no way to ask for a part; the hash tells it from another version.
                    unread => files.push(MigrationFile {
                        path: path.to_owned(),
                        bytes: entry.hash.clone().into_bytes(),
                        unread,
                    }),
                }
            }
            Kind::File => {
                budget.take(&folder, 0)?;
                files.push(MigrationFile::new(path, Vec::new()));
            }
            Kind::Link => skipped.push(Skipped { path: path.to_owned(), reason: "a link" }),
            Kind::Module => skipped.push(Skipped { path: path.to_owned(), reason: "a submodule" }),
        }
    }
    if !seen {
        return Err(GatherError::NotAFolder { folder, place });
    }
    let project: Vec<(String, &Entry)> = ancestors(&folder)
        .iter()
        .flat_map(|above| PROJECT_NAMES.map(|name| join(above, name)))
        .filter_map(|path| Some((path.clone(), entries.iter().find(|entry| entry.path == path)?)))
        .filter(|(_, entry)| entry.kind == Kind::File && entry.size <= PROJECT_BYTES_MAX as u64)
        .collect();
    let migrations = wanted.len();
    wanted.extend(project);
    let mut blobs = blobs(repository, &wanted).await?;
    let project = blobs.split_off(migrations.min(blobs.len()));
    files.extend(blobs.into_iter().map(|file| read_whole(file.path, file.bytes)));
    Ok(gathered(folder, Some(commit), files, &project, skipped))
}

/// How many tags are listed.
const TAGS_MAX: usize = 20;

/// The newest tags, newest first; none where there is no repository.
pub(in crate::gather) async fn tags(repository: &Path) -> Vec<String> {
    let arguments = ["--sort=-creatordate", "--format=%(refname:strip=2)", "--count=20", "refs/tags"];
    let listed = run(repository, "for-each-ref", &arguments, Vec::new(), 64 * 1024).await.unwrap_or_default();
    String::from_utf8_lossy(&listed).lines().take(TAGS_MAX).map(str::to_owned).collect()
}

/// The files of a commit.
pub(in crate::gather) struct Listing {
    repository: PathBuf,
    entries: Vec<Entry>,
}

/// Lists the files of a commit.
pub(in crate::gather) async fn list(repository: &Path, revision: &str) -> Result<Listing, GatherError> {
    let commit = resolve(repository, revision).await?;
    let arguments = ["-r", "-z", "-l", "--full-tree", "--end-of-options", &commit];
    let listing = run(repository, "ls-tree", &arguments, Vec::new(), LISTING_BYTES_MAX).await?;
    Ok(Listing { repository: repository.to_owned(), entries: parse_listing(&listing)? })
}

impl Listing {
    /// Paths of plain files.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|entry| entry.kind == Kind::File).map(|entry| entry.path.as_str())
    }

    /// The texts of those of `paths` that are there, of at most so many bytes each; what is not UTF-8 is left out.
    pub async fn texts(
        &self,
        paths: &[String],
        bytes_max: u64,
    ) -> Result<Vec<(String, String)>, GatherError> {
        let by_path: std::collections::HashMap<&str, &Entry> =
            self.entries.iter().map(|entry| (entry.path.as_str(), entry)).collect();
        let wanted: Vec<(String, &Entry)> = paths
            .iter()
            .filter_map(|path| Some((path.clone(), *by_path.get(path.as_str())?)))
            .filter(|(_, entry)| entry.kind == Kind::File && entry.size <= bytes_max)
            .collect();
        let files = blobs(&self.repository, &wanted).await?;
        Ok(files
            .into_iter()
            .filter_map(|file| Some((file.path, String::from_utf8(file.bytes).ok()?)))
            .collect())
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The full hash of the commit that `revision` names.
async fn resolve(repository: &Path, revision: &str) -> Result<String, GatherError> {
    let missing =
        || GatherError::NoCommit { repository: repository.to_owned(), revision: revision.to_owned() };
    if revision.is_empty() || revision.starts_with('-') || revision.contains(['\0', '\n']) {
        return Err(missing());
    }
    let wanted = format!("{revision}^{{commit}}");
    let arguments = ["--verify", "--quiet", "--end-of-options", &wanted];
    let output = match run(repository, "rev-parse", &arguments, Vec::new(), 4096).await {
        // `--quiet` says nothing when there is no such commit, and something when git itself is in trouble.
        Err(GatherError::Git { message, .. }) if message.is_empty() => return Err(missing()),
        other => other?,
    };
    let text = String::from_utf8_lossy(&output);
    let hash = text.lines().last().unwrap_or_default().trim();
    let is_hash = matches!(hash.len(), 40 | 64) && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { Ok(hash.to_owned()) } else { Err(missing()) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Link,
    Module,
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    hash: String,
    size: u64,
    path: String,
}

/// Reads `<mode> <type> <hash> <size>TAB<path>NUL`, over and over.
fn parse_listing(listing: &[u8]) -> Result<Vec<Entry>, GatherError> {
    let unreadable =
        || GatherError::Git { command: "ls-tree", message: "an entry is not readable".to_owned() };
    let mut entries = Vec::new();
    for record in listing.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
        let tab = record.iter().position(|byte| *byte == b'\t').ok_or_else(unreadable)?;
        let head = std::str::from_utf8(&record[..tab]).map_err(|_| unreadable())?;
        // A name that is not UTF-8 cannot be a migration that any of the tools reads; others do not matter.
        let Ok(path) = std::str::from_utf8(&record[tab + 1..]) else { continue };
        let mut parts = head.split_ascii_whitespace();
        let (Some(mode), Some(_), Some(hash), Some(size)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(unreadable());
        };
        let kind = match mode {
            "120000" => Kind::Link,
            "160000" => Kind::Module,
            _ => Kind::File,
        };
        let size = size.parse().unwrap_or(0);
        entries.push(Entry { kind, hash: hash.to_owned(), size, path: path.to_owned() });
    }
    Ok(entries)
}

/// The contents of `wanted`, in order, by one `cat-file`.
async fn blobs(repository: &Path, wanted: &[(String, &Entry)]) -> Result<Vec<MigrationFile>, GatherError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let request: Vec<u8> =
        wanted.iter().flat_map(|(_, entry)| format!("{}\n", entry.hash).into_bytes()).collect();
    // Each answer has a line of its own in front, of at most some hundred bytes.
    let max = TOTAL_BYTES_MAX as u64 + wanted.len() as u64 * 256 + (PROJECT_BYTES_MAX * 64) as u64;
    let output = run(repository, "cat-file", &["--batch"], request, max).await?;
    let broken = |what: &str| GatherError::Git { command: "cat-file", message: what.to_owned() };
    let mut rest = output.as_slice();
    let mut files = Vec::with_capacity(wanted.len());
    for (path, entry) in wanted {
        let end =
            rest.iter().position(|byte| *byte == b'\n').ok_or_else(|| broken("the answer breaks off"))?;
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        let size: usize = match head.split_ascii_whitespace().collect::<Vec<_>>()[..] {
            [hash, "blob", size] if hash == entry.hash => size.parse().map_err(|_| broken(&head))?,
            _ => return Err(broken(&head)),
        };
        let bytes = rest.get(end + 1..end + 1 + size).ok_or_else(|| broken("the answer breaks off"))?;
        files.push(MigrationFile::new(path.clone(), bytes));
        rest = rest.get(end + 2 + size..).unwrap_or_default();
    }
    Ok(files)
}

/// Runs one git command with a fixed environment and bounded output and time.
async fn run(
    repository: &Path,
    command: &'static str,
    arguments: &[&str],
    input: Vec<u8>,
    output_bytes_max: u64,
) -> Result<Vec<u8>, GatherError> {
    let work = run_unbounded(repository, command, arguments, input, output_bytes_max);
    tokio::time::timeout(GIT_WAIT_MAX, work)
        .await
        .unwrap_or(Err(GatherError::GitSlow { command, seconds: GIT_WAIT_MAX.as_secs() }))
}

async fn run_unbounded(
    repository: &Path,
    command: &'static str,
    arguments: &[&str],
    input: Vec<u8>,
    output_bytes_max: u64,
) -> Result<Vec<u8>, GatherError> {
    let mut git = Command::new("git");
    // Variables like GIT_DIR, set by a hook that runs us, would point git at another repository.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            git.env_remove(name);
        }
    }
    git.env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("LC_ALL", "C")
        .arg("-C")
        .arg(repository)
        .arg(command)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = git.spawn().map_err(|source| GatherError::NoGit { source })?;
    let failed = |message: String| GatherError::Git { command, message };
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(failed("no pipes to it".to_owned()));
    };
    let write = async move {
        // A git that ends early closes the pipe; its exit status tells why.
        let _ = stdin.write_all(&input).await;
        drop(stdin);
    };
    let mut output = Vec::new();
    let mut message = Vec::new();
    let mut bounded = stdout.take(output_bytes_max + 1);
    let mut errors = stderr.take(MESSAGE_BYTES_MAX);
    let read = async { tokio::join!(bounded.read_to_end(&mut output), errors.read_to_end(&mut message)) };
    let ((), (read_output, _)) = tokio::join!(write, read);
    read_output.map_err(|error| failed(error.to_string()))?;
    if output.len() as u64 > output_bytes_max {
        let found = output.len() as u64;
        let what = format!("the output of `git {command}`");
        return Err(GatherError::TooMuch { what, found, max: output_bytes_max, unit: "bytes" });
    }
    let status = child.wait().await.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        let text = String::from_utf8_lossy(&message);
        return Err(failed(text.trim().lines().next().unwrap_or_default().to_owned()));
    }
    Ok(output)
}
