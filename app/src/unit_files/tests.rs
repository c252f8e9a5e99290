use super::*;

fn file(name: &str, text: &str) -> UnitText {
    UnitText { name: name.to_owned(), text: text.to_owned() }
}

#[test]
fn files_are_written_once_and_never_over_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = [file("a.service", "[Service]\n"), file("a.socket", "[Socket]\n")];
    let place = folder.path().join("units");
    assert_eq!(write(&place, &files).expect("written").len(), 2);
    assert_eq!(write(&place, &files).expect("looked at"), Vec::<PathBuf>::new());
    fs_err::write(place.join("a.socket"), "[Socket]\nAccept=yes\n").expect("changed");
    fs_err::remove_file(place.join("a.service")).expect("removed");
    let error = write(&place, &files).expect_err("refused");
    assert!(matches!(&error, UnitFilesError::Differs { path } if path.ends_with("a.socket")), "{error}");
    assert!(!place.join("a.service").exists(), "all or none");
}

#[test]
fn drop_ins_count_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path();
    fs_err::write(place.join("a.socket"), "[Socket]\nTriggerLimitIntervalSec=0\n").expect("written");
    fs_err::create_dir(place.join("a.socket.d")).expect("a folder");
    for (name, text) in [("9.conf", "2s"), ("10.conf", "0"), ("x.txt", "0")] {
        let text = format!("[Socket]\nTriggerLimitIntervalSec={text}\n");
        fs_err::write(place.join("a.socket.d").join(name), text).expect("written");
    }
    let socket = parsed(place, "a.socket").expect("read").expect("there");
    assert_eq!(socket.last("Socket", "TriggerLimitIntervalSec"), Some("2s"));
    assert_eq!(parsed(place, "b.socket").expect("looked"), None);
}
