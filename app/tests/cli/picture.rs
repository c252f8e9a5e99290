//! The picture in the README is what the program prints, so that it cannot go stale.

use super::site::{Site, repository, settings};

#[test]
fn the_picture_in_the_readme_is_what_a_rollback_prints() {
    let site = Site::new();
    assert_eq!(site.unship(&["deploy", "1.0.0"]).status, 0);
    assert_eq!(site.unship(&["deploy", "1.2.0"]).status, 0);
    site.until("it panics", || site.says(&["status"]).contains("restarted"));
    let words = ["rollback", "--mode", "panic-loop", "--yes"];
    let said = site.unship(&[&words[..], &["--color", "always"]].concat());
    assert_eq!(said.status, 0, "{}", said.stderr);
    // A length of time is as wide as the real one and always the same.
    let mut text = format!("\u{1b}[1m$ unship {}\u{1b}[0m\n", words.join(" "));
    for line in said.stderr.lines() {
        text.push_str(&frozen(line));
        text.push('\n');
    }
    let picture = anstyle_svg::Term::new().min_width_px(760).render_svg(text.trim_end());
    let file = repository().join("docs/rollback.svg");
    if std::env::var_os("UNSHIP_RENEW_PICTURE").is_some() {
        fs_err::write(&file, &picture).expect("writes");
    }
    let kept = fs_err::read_to_string(&file).expect("docs/rollback.svg");
    settings().bind(|| {
        assert!(
            kept == picture,
            "docs/rollback.svg is stale: look at it after UNSHIP_RENEW_PICTURE=1 cargo test -p unship --test cli picture"
        );
    });
}

/// Every number that differs from run to run, replaced by one that does not.
fn frozen(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    for index in 0..words.len() {
        let is_number = |word: &str| word.parse::<f64>().is_ok();
        let plain = words[index].replace("\u{1b}[2m", "");
        let unit = words.get(index + 1).map(|next| next.replace("\u{1b}[0m", ""));
        if is_number(&plain) && matches!(unit.as_deref(), Some("ms" | "s")) {
            words[index] = words[index].replace(&plain, "21");
            words[index + 1] = words[index + 1].replace('s', "ms").replace("mms", "ms");
        }
        if is_number(&words[index]) && words.get(index + 1).is_some_and(|next| next == "times") {
            words[index] = "3".into();
        }
        if words[index] == "once" {
            words[index] = "3 times".into();
        }
    }
    // The column of times is right-aligned: what the numbers' widths left behind is evened out.
    let line = words.join(" ");
    match line.find("\u{1b}[2m") {
        Some(at) if line.contains("ok") => {
            let (before, after) = line.split_at(at);
            format!(
                "{before}\u{1b}[2m{:>9}\u{1b}[0m",
                after.replace("\u{1b}[2m", "").replace("\u{1b}[0m", "").trim()
            )
        }
        _ => line,
    }
}
