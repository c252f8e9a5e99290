//! Every courier, killed between send and record: as the table in `docs/aftercare.md` says.

use std::sync::atomic::Ordering;

use unship::aftercare::{
    CommandCourier, Courier, Forge, IssueFile, NoteFile, Role, SecretSource, SecretSources, SlackCourier,
    WebhookCourier,
};
use unship::ports::{Aftercare, DeliveryState};

use super::forge::KeepingForge;
use super::parts::{Desk, notice};
use super::receiver::{OK, Receiver};

const RUN: &str = "20261123T031500-000-1";

/// Told, killed between send and record, delivered by the next command. Gives how it stands then.
async fn killed_once(desk: &Desk) -> DeliveryState {
    desk.outbox.tell(&notice(RUN)).await.expect("is owed");
    desk.die().await;
    assert_eq!(desk.only().state, DeliveryState::Waiting, "nothing was recorded");
    desk.deliver().await.state
}

fn secret(folder: &std::path::Path, text: &str) -> SecretSource {
    let path = folder.join("secret");
    fs_err::write(&path, text).expect("writes");
    SecretSource::File(path)
}

#[tokio::test]
async fn slack_hears_it_twice_at_most_and_the_second_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::answering(OK);
    let url = secret(folder.path(), &format!("{}/services/T0/B0/hunter2", receiver.url));
    let secrets = SecretSources { url: Some(url), token: None };
    let desk = Desk::new(folder.path(), Box::new(SlackCourier), secrets);
    assert_eq!(killed_once(&desk).await, DeliveryState::Delivered);
    let texts: Vec<String> =
        receiver.got().iter().map(|got| got.json()["text"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(texts.len(), 2);
    assert!(!texts[0].contains("may repeat") && texts[1].contains("may repeat"), "{texts:?}");
    // What others wrote calls nobody and is no markup.
    assert!(texts[0].contains("&lt;!channel&gt; @\u{2060}here"), "{texts:?}");
    assert!(desk.only().repeated);
}

#[tokio::test]
async fn slack_never_hears_it_a_third_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::answering(OK);
    let secrets = SecretSources { url: Some(secret(folder.path(), &receiver.url)), token: None };
    let desk = Desk::new(folder.path(), Box::new(SlackCourier), secrets);
    desk.outbox.tell(&notice(RUN)).await.expect("is owed");
    desk.die().await;
    desk.die().await;
    for _ in 0..3 {
        assert_eq!(desk.deliver().await.state, DeliveryState::GaveUp);
    }
    assert_eq!(receiver.got().len(), 2);
    // Somebody who says so gets one more.
    let id = desk.only().id;
    desk.outbox.retry(&id).expect("is due again");
    assert_eq!(desk.deliver().await.state, DeliveryState::Delivered);
    assert_eq!(receiver.got().len(), 3);
}

#[tokio::test]
async fn a_webhook_gets_the_same_key_and_the_same_signature_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::answering(OK);
    let courier = WebhookCourier { url: Some(format!("{}/hook", receiver.url)) };
    let secrets = SecretSources { url: None, token: Some(secret(folder.path(), "hunter2")) };
    let desk = Desk::new(folder.path(), Box::new(courier), secrets);
    assert_eq!(killed_once(&desk).await, DeliveryState::Delivered);
    let got = receiver.got();
    assert_eq!(got.len(), 2);
    assert_eq!(got[0].body, got[1].body);
    for name in ["idempotency-key", "x-unship-signature-256"] {
        assert!(got[0].header(name).is_some(), "{name}");
        assert_eq!(got[0].header(name), got[1].header(name), "{name}");
    }
    assert_eq!(got[0].json()["notice"]["to"]["tag"], "v1.3.2");
}

#[tokio::test]
async fn files_have_it_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let notes = folder.path().join("notes.log");
    let desk = Desk::new(folder.path(), Box::new(NoteFile { path: notes.clone() }), SecretSources::default());
    assert_eq!(killed_once(&desk).await, DeliveryState::Delivered);
    assert_eq!(fs_err::read_to_string(&notes).expect("reads").lines().count(), 1);

    let folder = tempfile::tempdir().expect("a folder");
    let issues = folder.path().join("issues.md");
    let desk =
        Desk::new(folder.path(), Box::new(IssueFile { path: issues.clone() }), SecretSources::default());
    assert_eq!(killed_once(&desk).await, DeliveryState::Delivered);
    let text = fs_err::read_to_string(&issues).expect("reads");
    assert_eq!(text.matches("## shithub production").count(), 1, "{text}");
    assert!(text.contains("abc1234"), "{text}");
}

#[tokio::test]
async fn a_command_is_run_twice_at_most_and_the_second_says_so() {
    for role in [Role::Note, Role::Issue] {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out");
        let words = vec!["tee".into(), "-a".into(), out.display().to_string()];
        let desk =
            Desk::new(folder.path(), Box::new(CommandCourier { words, role }), SecretSources::default());
        assert_eq!(killed_once(&desk).await, DeliveryState::Delivered);
        let text = fs_err::read_to_string(&out).expect("reads");
        let documents: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let repeats: Vec<bool> =
            documents.iter().filter_map(|document| document["may_repeat"].as_bool()).collect();
        assert_eq!(repeats, [false, true]);
        assert_eq!(documents[0]["key"], documents[1]["key"]);
        assert_eq!(documents[0].get("issue").is_some(), role == Role::Issue);
    }
}

#[tokio::test]
async fn forges_have_one_issue_and_a_second_rollback_comments_on_it_once() {
    for forge in [Forge::GitHub, Forge::GitLab, Forge::Forgejo] {
        let folder = tempfile::tempdir().expect("a folder");
        let keeping = KeepingForge::new(forge);
        let secrets = SecretSources { url: None, token: Some(secret(folder.path(), "hunter2")) };
        let desk = Desk::new(folder.path(), Box::new(keeping.courier()) as Box<dyn Courier>, secrets);
        assert_eq!(killed_once(&desk).await, DeliveryState::Delivered, "{forge:?}");
        assert_eq!(keeping.counts(), (1, 0), "{forge:?}");
        assert_eq!(desk.only().place.as_deref(), Some("https://forge.example.org/1"), "{forge:?}");
        // The same failure again: a comment, and one only, though killed.
        let again = notice("20261124T031500-000-2");
        desk.outbox.tell(&again).await.expect("is owed");
        desk.die().await;
        assert_eq!(desk.deliver().await.state, DeliveryState::Delivered, "{forge:?}");
        assert_eq!(keeping.counts(), (1, 1), "{forge:?}");
        // Once somebody closed it, the next one is a new issue.
        keeping.close_all();
        desk.outbox.tell(&notice("20261125T031500-000-3")).await.expect("is owed");
        assert_eq!(desk.deliver().await.state, DeliveryState::Delivered, "{forge:?}");
        assert_eq!(keeping.counts(), (2, 1), "{forge:?}");
        let shown = match forge {
            Forge::GitHub => ("authorization", "Bearer hunter2"),
            Forge::GitLab => ("private-token", "hunter2"),
            Forge::Forgejo => ("authorization", "token hunter2"),
        };
        assert!(keeping.receiver.got().iter().all(|got| got.header(shown.0) == Some(shown.1)), "{forge:?}");
    }
}

#[tokio::test]
async fn what_is_refused_is_tried_again_as_the_receiver_wishes_and_given_up_after_so_many_tries() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::answering(
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n",
    );
    let courier = WebhookCourier { url: Some(receiver.url.clone()) };
    let desk = Desk::new(folder.path(), Box::new(courier), SecretSources::default());
    desk.outbox.tell(&notice(RUN)).await.expect("is owed");
    let first = desk.deliver().await;
    let now = desk.clock.0.load(Ordering::SeqCst);
    assert_eq!((first.state, first.attempts), (DeliveryState::Waiting, 1));
    assert!(first.next_at.is_some_and(|at| at.0 >= now + 3_600_000), "{first:?}");
    for _ in 0..30 {
        desk.deliver().await;
    }
    assert_eq!(desk.only().state, DeliveryState::GaveUp);
    assert_eq!(receiver.got().len(), 14);
}
