use super::*;

#[tokio::test]
async fn what_a_program_says_and_how_it_ends_is_kept() {
    let ended = Program::new(["sh", "-c", "echo out; echo one >&2; echo two >&2; exit 3"], 5_000)
        .run()
        .await
        .expect("runs");
    assert_eq!((ended.success, ended.text().as_str()), (false, "out"));
    assert_eq!(ended.complaint(), "one | two");
    assert_eq!(ended.status, "exit status: 3");
}

#[tokio::test]
async fn what_a_program_draws_does_not_reach_the_screen() {
    let program = Program::new(["sh", "-c", r"printf 'one\033[2Jtwo\033]0;title\007\n' >&2; exit 1"], 5_000);
    assert_eq!(program.run().await.expect("runs").complaint(), "onetwo");
}

#[tokio::test]
async fn a_program_that_floods_is_cut_and_one_that_hangs_is_killed_with_its_children() {
    let flood = Program::new(["sh", "-c", "yes | head -c 3000000; echo end"], 20_000);
    let ended = flood.run().await.expect("runs");
    assert!(ended.stdout.len() <= OUTPUT_BYTES_MAX && ended.stdout.ends_with(b"end\n"));

    let folder = tempfile::tempdir().expect("a folder");
    let hang = Program::new(["sh", "-c", "sleep 600 & echo $! > child; wait"], 300).in_folder(folder.path());
    assert!(matches!(hang.run().await, Err(ProgramError::TimedOut { .. })));
    let child = fs_err::read_to_string(folder.path().join("child")).expect("it began");
    let child = Pid::from_raw(child.trim().parse().expect("an id")).expect("an id");
    let gone = async {
        while rustix::process::test_kill_process(child).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the child was killed too");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let error = Program::new(["no-such-program-here"], 1_000).run().await.expect_err("not there");
    assert!(error.to_string().starts_with("cannot run `no-such-program-here`: "), "{error}");
}

#[tokio::test]
async fn nobody_waits_any_more_and_its_children_are_gone_as_well() {
    // A number that no other command line has.
    let time = format!("61.{}", std::process::id());
    let runs = || {
        let processes = std::fs::read_dir("/proc").expect("a /proc").flatten();
        let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        lines
            .filter(|line| line.starts_with(b"sleep") && line.ends_with(format!("{time}\0").as_bytes()))
            .count()
    };
    let script = format!("sleep {time} & sleep {time}");
    let program = Program::new(["sh", "-c", &script], 60_000);
    let waited = tokio::time::timeout(Duration::from_millis(300), program.run());
    assert!(waited.await.is_err(), "it was still running");
    let until = std::time::Instant::now() + Duration::from_secs(5);
    while runs() > 0 && std::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(runs(), 0);
}

#[tokio::test]
async fn a_program_has_ended_when_it_ends_whatever_it_leaves_in_the_background() {
    let program = Program::new(["sh", "-c", "echo before; sleep 20 & exit 0"], 10_000);
    let began = std::time::Instant::now();
    let ended = program.run().await.expect("it ended");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!((ended.success, ended.text().as_str()), (true, "before"));
}

#[tokio::test]
async fn a_program_waits_for_the_children_of_one_that_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lock, done) = (folder.path().join("lock"), folder.path().join("done"));
    // It ends, and leaves somebody behind who is still at work.
    // A shell gives what it runs in the background another standard input, so it is handed on by itself.
    let script = "exec 9<&0; (sleep 1; echo first > done) >/dev/null 2>&1 & exit 0";
    let first = Program::new(["sh", "-c", script], 5_000).in_folder(folder.path()).locking(&lock);
    assert!(first.run().await.expect("runs").success);
    assert!(!done.exists(), "it was over at once");
    let second = Program::new(["cat", "done"], 10_000).in_folder(folder.path()).locking(&lock);
    assert_eq!(second.run().await.expect("runs").text(), "first");

    let blocked = Program::new(["sh", "-c", "exec 9<&0; sleep 2 &"], 5_000).locking(&lock);
    assert!(blocked.run().await.expect("runs").success);
    let error = Program::new(["true"], 200).locking(&lock).run().await.expect_err("it is locked");
    assert!(error.to_string().contains("another one is still at work"), "{error}");
}
