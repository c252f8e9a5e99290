//! The journals in memory: an entry is there if and only if its append returned, or died after the disk had
//! it. Whoever finds that another process went on with its run may not write any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use unship::ports::{Journal, JournalFailure, Journals};
use unship_core::journal::Entry;
use unship_core::release::RunId;

/// What is on the disk.
#[derive(Debug, Clone, Default)]
pub struct JournalsState {
    pub files: BTreeMap<RunId, File>,
    /// A canary: the disk says that it has an entry and writes it only with the next one.
    pub loses_last: bool,
}

/// One run's file.
#[derive(Debug, Clone, Default)]
pub struct File {
    pub entries: Vec<Entry>,
    pub closed: bool,
}

/// The folder of journals.
#[derive(Debug, Clone)]
pub struct ModelJournals {
    pub state: Arc<Mutex<JournalsState>>,
}

impl ModelJournals {
    pub fn lock(&self) -> MutexGuard<'_, JournalsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine's processes die: what only seemed to be on the disk is gone.
    pub fn crash(&self) {
        let mut state = self.lock();
        if state.loses_last {
            for file in state.files.values_mut().filter(|file| !file.closed) {
                file.entries.pop();
            }
        }
    }
}

fn failure(run: &RunId, why: &str) -> JournalFailure {
    JournalFailure { place: run.to_string(), why: why.to_owned() }
}

impl Journals for ModelJournals {
    fn create(&self, run: &RunId) -> Result<Box<dyn Journal>, JournalFailure> {
        let mut state = self.lock();
        if state.files.contains_key(run) {
            return Err(failure(run, "it is there"));
        }
        state.files.insert(run.clone(), File::default());
        Ok(Box::new(Writer { journals: self.clone(), run: run.clone(), length: 0 }))
    }

    fn read(&self, run: &RunId) -> Result<Vec<Entry>, JournalFailure> {
        let state = self.lock();
        let file =
            state.files.get(run).filter(|file| !file.closed).ok_or_else(|| failure(run, "not there"))?;
        Ok(file.entries.clone())
    }

    fn open(&self, run: &RunId) -> Result<(Box<dyn Journal>, Vec<Entry>), JournalFailure> {
        let state = self.lock();
        let file =
            state.files.get(run).filter(|file| !file.closed).ok_or_else(|| failure(run, "not there"))?;
        let writer = Writer { journals: self.clone(), run: run.clone(), length: file.entries.len() };
        Ok((Box::new(writer), file.entries.clone()))
    }

    fn open_runs(&self) -> Result<Vec<RunId>, JournalFailure> {
        let state = self.lock();
        Ok(state.files.iter().filter(|(_, file)| !file.closed).map(|(run, _)| run.clone()).collect())
    }

    fn close(&self, run: &RunId) -> Result<(), JournalFailure> {
        if let Some(file) = self.lock().files.get_mut(run) {
            file.closed = true;
        }
        Ok(())
    }
}

struct Writer {
    journals: ModelJournals,
    run: RunId,
    length: usize,
}

impl Journal for Writer {
    fn append(&mut self, entry: &Entry) -> Result<(), JournalFailure> {
        let mut state = self.journals.lock();
        let file = state.files.get_mut(&self.run).ok_or_else(|| failure(&self.run, "not there"))?;
        if file.entries.len() != self.length {
            return Err(failure(&self.run, "another process has gone on with this run"));
        }
        file.entries.push(entry.clone());
        self.length += 1;
        Ok(())
    }
}
