//! A scorer's instances: those that wait, and those that are lent out.
//!
//! Where every answer gets an instance of its own, instances are made ahead, on a thread of the pool's, and dropped there when
//! they have been used: so an answer waits for neither. That is done when no answer has come for a moment. While they come
//! one upon the other their callers make and drop instances themselves, since two threads that lay out memory at once hold
//! each other up more than they help.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::instance::{Compiled, Instance};
use super::{ScorerFailure, ScorerSettings, thread};
use crate::caught::caught;

/// Instances that are made ahead, at most.
const AHEAD_MAX: usize = 4;
/// For how long no answer has come before instances are made ahead: some dozen times what making one takes.
const QUIET: Duration = Duration::from_micros(500);

/// A scorer's instances. When it goes, its thread ends.
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    compiled: Compiled,
    settings: ScorerSettings,
    state: Mutex<State>,
    /// An instance is back, or a place is free.
    returned: Condvar,
    /// There is something for the thread to do, or its end has come.
    used: Condvar,
}

struct State {
    /// Instances that are ready.
    idle: Vec<Instance>,
    /// Instances that have been used, and must not be used again.
    spent: Vec<Instance>,
    /// All there are: those that are ready, spent, lent out, or being made.
    live: usize,
    /// Instances are made ahead.
    has_maker: bool,
    /// The thread that does so waits to be told that there is something to do.
    maker_rests: bool,
    /// Instances that were asked for.
    asked: u64,
    closed: bool,
}

/// An instance on loan. Dropped, it goes back, if it is whole and may be used again.
pub(super) struct Lent {
    pool: Arc<Shared>,
    instance: Option<Instance>,
}

impl Pool {
    /// A pool with one instance.
    ///
    /// # Errors
    /// Where that can't be made.
    pub(super) fn start(compiled: Compiled, settings: ScorerSettings) -> Result<Self, ScorerFailure> {
        let first = compiled.start(&settings)?;
        let (fresh, state) = (settings.fresh, State { idle: vec![first], ..State::empty() });
        let (state, returned, used) = (Mutex::new(state), Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { compiled, settings, state, returned, used });
        if fresh && shared.instances_max() > 1 {
            let pool = Arc::clone(&shared);
            // Without the thread callers make their instances themselves.
            let started = thread::start("softfuse-instances".to_owned(), move || pool.make_ahead());
            shared.state.lock().has_maker = started.is_ok();
        }
        Ok(Self(shared))
    }

    pub(super) fn compiled(&self) -> &Compiled {
        &self.0.compiled
    }

    pub(super) fn settings(&self) -> &ScorerSettings {
        &self.0.settings
    }

    /// Bytes of memory that its waiting instances have.
    pub(super) fn memory_bytes(&self) -> usize {
        self.0.state.lock().idle.iter().map(Instance::memory_bytes).sum()
    }

    /// An instance, waited for where all are at work.
    pub(super) fn take(&self, wait_max: Duration) -> Result<Lent, ScorerFailure> {
        let shared = &self.0;
        let mut until = None;
        let mut state = shared.state.lock();
        state.asked = state.asked.wrapping_add(1);
        loop {
            if let Some(instance) = state.idle.pop() {
                return Ok(Lent { pool: Arc::clone(shared), instance: Some(instance) });
            }
            let spent = state.spent.pop();
            if spent.is_some() || state.live < shared.instances_max() {
                // One that is spent hands its place on.
                state.live += usize::from(spent.is_none());
                drop(state);
                // From here on the place is given back by `Lent`, whatever happens.
                let mut lent = Lent { pool: Arc::clone(shared), instance: None };
                drop(spent);
                lent.instance = Some(shared.compiled.start(&shared.settings)?);
                return Ok(lent);
            }
            let until = *until.get_or_insert_with(|| Instant::now() + wait_max);
            if shared.returned.wait_until(&mut state, until).timed_out() {
                return Err(ScorerFailure::Busy(wait_max));
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.used.notify_all();
    }
}

impl State {
    const fn empty() -> Self {
        Self {
            idle: Vec::new(),
            spent: Vec::new(),
            live: 1,
            has_maker: false,
            maker_rests: false,
            asked: 0,
            closed: false,
        }
    }
}

impl Shared {
    fn instances_max(&self) -> usize {
        self.settings.instances_max.max(1)
    }

    /// The thread's life: whenever instances were used, and then for a moment none, it drops them and makes others.
    fn make_ahead(&self) {
        let mut state = self.state.lock();
        while !state.closed {
            state.maker_rests = true;
            self.used.wait(&mut state);
            state.maker_rests = false;
            self.wait_for_quiet(&mut state);
            while !state.closed && self.make_one(&mut state) {}
        }
        let instances = (std::mem::take(&mut state.idle), std::mem::take(&mut state.spent));
        drop(state);
        drop(instances);
    }

    fn wait_for_quiet(&self, state: &mut MutexGuard<'_, State>) {
        let mut seen = state.asked.wrapping_sub(1);
        while !state.closed && seen != state.asked {
            seen = state.asked;
            // Nobody wakes it but the end.
            self.used.wait_for(state, QUIET);
        }
    }

    /// Drops what is spent, and makes an instance if there is room. Whether there may be more to do.
    fn make_one(&self, state: &mut MutexGuard<'_, State>) -> bool {
        let spent = std::mem::take(&mut state.spent);
        let places = spent.len();
        MutexGuard::unlocked(state, || drop(spent));
        state.live -= places;
        if state.idle.len() >= AHEAD_MAX || state.live >= self.instances_max() {
            return false;
        }
        state.live += 1;
        let made = MutexGuard::unlocked(state, || {
            caught("making a scorer's instance", || self.compiled.start(&self.settings).ok()).flatten()
        });
        let is_made = made.is_some();
        match made {
            Some(instance) => state.idle.push(instance),
            // Whoever asks next is told why.
            None => state.live -= 1,
        }
        self.returned.notify_all();
        is_made
    }
}

impl Lent {
    /// Calls the instance, which is gone after a fault, and after a panic of the host's.
    pub(super) fn run<T>(
        &mut self,
        call: impl FnOnce(&mut Instance, &ScorerSettings) -> Result<T, ScorerFailure>,
    ) -> Result<T, ScorerFailure> {
        let Some(mut instance) = self.instance.take() else {
            return Err(ScorerFailure::Trapped("it failed before".to_owned()));
        };
        let called = call(&mut instance, &self.pool.settings);
        if called.is_ok() {
            self.instance = Some(instance);
        }
        called
    }

    /// [`run`](Self::run), where it can be run.
    pub(super) fn run_aside<T: Send>(
        &mut self,
        call: impl FnOnce(&mut Instance, &ScorerSettings) -> Result<T, ScorerFailure> + Send,
    ) -> Result<T, ScorerFailure> {
        let may_wait = self.pool.compiled.may_wait();
        thread::outside_tokio(may_wait, || self.run(call)).flatten()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let pool = &self.pool;
        let instance = self.instance.take();
        let mut state = pool.state.lock();
        match instance {
            Some(instance) if !pool.settings.fresh => state.idle.push(instance),
            Some(instance) if state.has_maker && !state.closed => {
                state.spent.push(instance);
                if state.maker_rests {
                    pool.used.notify_one();
                }
            }
            instance => {
                MutexGuard::unlocked(&mut state, || drop(instance));
                state.live -= 1;
            }
        }
        drop(state);
        // Its place may be what somebody waits for.
        pool.returned.notify_one();
    }
}
