//! What happened when: every step of every run, and what the drill says of itself.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use super::report::Moment;
use crate::ports::{Progress, World};

/// Notes steps as they end, and passes everything on to whoever watches.
pub(super) struct Timeline {
    world: World,
    notes: Arc<Notes>,
}

struct Notes {
    watcher: Arc<dyn Progress>,
    /// The load's beginning, from which moments are counted.
    zero: OnceLock<Instant>,
    began: Mutex<Vec<(Instant, String)>>,
    ended: Mutex<Vec<(Instant, String)>>,
}

impl Timeline {
    pub(super) fn new(world: &World) -> Timeline {
        let notes = Arc::new(Notes {
            watcher: Arc::clone(&world.progress),
            zero: OnceLock::new(),
            began: Mutex::new(Vec::new()),
            ended: Mutex::new(Vec::new()),
        });
        let world = World { progress: Arc::clone(&notes) as Arc<dyn Progress>, ..world.clone() };
        Timeline { world, notes }
    }

    /// The world, with this timeline listening.
    pub(super) fn world(&self) -> World {
        self.world.clone()
    }

    pub(super) fn load_began(&self) {
        let _ = self.notes.zero.set(Instant::now());
    }

    pub(super) fn mark(&self, what: &str) {
        self.notes.note_end(what.to_owned());
    }

    /// Shows what is no step of a run, and so no part of the timeline.
    pub(super) fn watcher(&self) -> &dyn Progress {
        self.notes.watcher.as_ref()
    }

    /// When the first step of these titles began, if one did after `since`.
    pub(super) fn began_at(&self, titles: &[String], since: Instant) -> Option<Instant> {
        let began = self.notes.began.lock().unwrap_or_else(PoisonError::into_inner);
        began.iter().find(|(at, what)| *at >= since && titles.contains(what)).map(|(at, _)| *at)
    }

    /// When the latest step of this title ended well, if that was after `since`.
    pub(super) fn done_at(&self, title: &str, since: Instant) -> Option<Instant> {
        self.notes.ended().iter().rev().find(|(at, what)| *at >= since && what == title).map(|(at, _)| *at)
    }

    /// Everything since the load began.
    pub(super) fn moments(&self) -> Vec<Moment> {
        let Some(zero) = self.notes.zero.get() else { return Vec::new() };
        let ended = self.notes.ended();
        let since = ended.iter().filter_map(|(at, what)| {
            let at_ms = super::millis(at.checked_duration_since(*zero)?);
            Some(Moment { at_ms, what: what.clone() })
        });
        since.collect()
    }
}

impl Notes {
    fn ended(&self) -> MutexGuard<'_, Vec<(Instant, String)>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_end(&self, what: String) {
        self.ended().push((Instant::now(), what));
    }
}

impl Progress for Notes {
    fn started(&self, title: &str) {
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        began.push((Instant::now(), title.to_owned()));
        drop(began);
        self.watcher.started(title);
    }

    fn done(&self, title: &str, took_ms: u64) {
        self.note_end(title.to_owned());
        self.watcher.done(title, took_ms);
    }

    fn failed(&self, title: &str, error: &str) {
        self.note_end(format!("failed: {title}"));
        self.watcher.failed(title, error);
    }

    fn note(&self, text: &str) {
        self.watcher.note(text);
    }
}
