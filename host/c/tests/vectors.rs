//! Every shared vector through the C ABI, leased and eager; and random histories, on which it must decide as the native core.

mod common;

use std::collections::BTreeMap;
use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex};

use common::{Breaker, NO_ERROR, Policy, Registry, c, message, sized, taken, text, text_if};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use softfuse_c::*;
use softfuse_testkit::disciplined::{gone, invalid_score};
use softfuse_testkit::history::{history, run};
use softfuse_testkit::policies::{Found, load_bad, policy};
use softfuse_testkit::vectors::{Vector, load, parse};
use softfuse_testkit::{CauseSeen, Disciplined, Ending, EventSeen, KINDS, ReadingSeen, Seen, SignalIn, StatusSeen};
use softfuse_testkit::{CoreSubject, Subject, TripSeen, seen};

const NAME: &str = "test";
/// Random histories that are compared with the core: enough to trip often, few enough for a debug build. The Rust host's own tests
/// compare a hundred thousand.
const HISTORIES: u32 = 300;
const OPS_MAX: usize = 60;

/// What the host's own conditions say next, by their place in the policy.
type Script = Arc<Mutex<Vec<Option<String>>>>;

struct Scripted {
    script: Script,
    place: usize,
}

/// # Safety
/// `user` is a [`Scripted`], `reason` has room for `capacity` bytes.
unsafe extern "C" fn record(
    user: *mut c_void,
    call: *const sf_call_record,
    reason: *mut c_char,
    capacity: usize,
) -> i32 {
    // SAFETY: as this function asks.
    let (Scripted { script, place }, call) = unsafe { (&*user.cast::<Scripted>(), &*call) };
    assert_eq!((call.size, capacity), (size_of::<sf_call_record>(), SF_REASON_BYTES));
    let said = script.lock().expect("no panics").get(*place).cloned().flatten();
    let Some(said) = said else { return 0 };
    let said = c(&said);
    let bytes = said.as_bytes_with_nul();
    assert!(bytes.len() <= capacity);
    // SAFETY: it fits.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), reason.cast(), bytes.len()) };
    1
}

/// # Safety
/// `user` is a boxed [`Scripted`].
unsafe extern "C" fn free_scripted(user: *mut c_void) {
    // SAFETY: as this function asks.
    drop(unsafe { Box::from_raw(user.cast::<Scripted>()) });
}

/// Conditions of the host's own, which do as the script says.
fn conditions(policy: &Policy, script: &Script) -> (Vec<std::ffi::CString>, Vec<sf_condition>) {
    let names: Vec<_> =
        (0..).map_while(|at| text_if(sf_policy_condition_name(policy.get(), at))).map(|name| c(&name)).collect();
    let made = names.iter().enumerate().map(|(place, name)| {
        let mut condition = sized!(sf_condition);
        condition.name = name.as_ptr();
        condition.record = Some(record);
        condition.free_user = Some(free_scripted);
        condition.user = Box::into_raw(Box::new(Scripted { script: Arc::clone(script), place })).cast();
        condition
    });
    let made = made.collect();
    (names, made)
}

type Events = Mutex<Vec<EventSeen>>;

/// # Safety
/// `user` is an [`Events`], `event` is one.
unsafe extern "C" fn hear(user: *mut c_void, event: *const sf_event) {
    // SAFETY: as this function asks.
    let (events, event) = unsafe { (&*user.cast::<Events>(), &*event) };
    assert_eq!(event.size, size_of::<sf_event>());
    if event.kind == sf_event_kind::SF_STATE_CHANGED as i32 {
        events.lock().expect("no panics").push(event_seen(event));
    }
}

fn state_name(state: i32) -> String {
    text(sf_state_name(state))
}

fn event_seen(event: &sf_event) -> EventSeen {
    let kinds = ["", "tripped", "would-have-tripped", "open-period-over", "recovered", "reset", "operator"];
    let kind = kinds[usize::try_from(event.change).expect("a change")];
    let causes = || {
        let cause = |at| {
            // SAFETY: there are as many, so far apart.
            let cause = unsafe { &*event.causes.cast::<u8>().add(at * (*event.causes).size).cast::<sf_cause>() };
            CauseSeen { path: text(cause.path), value: cause.value, limit: cause.limit, text: text(cause.text) }
        };
        (0..event.cause_count).map(cause).collect()
    };
    let reason = || {
        let reason = text(event.reason);
        reason.strip_prefix("would have tripped: ").map_or(reason.clone(), ToOwned::to_owned)
    };
    let trip = match event.trip {
        0 => None,
        1 => Some(TripSeen::Conditions(causes())),
        2 => Some(TripSeen::ProbeFailed(text(sf_kind_name(event.probe_kind)))),
        3 => Some(TripSeen::ProbeConditions(causes())),
        4 => Some(TripSeen::Host(reason())),
        other => panic!("{other} is no sf_trip"),
    };
    EventSeen {
        at_ns: event.at_ns,
        old: state_name(event.old_state),
        new: state_name(event.new_state),
        generation: event.generation,
        trip_count: event.trip_count,
        open_until_ns: (event.has_open_until != 0).then_some(event.open_until_ns),
        ..EventSeen::of(kind, trip)
    }
}

/// A breaker behind the ABI.
struct Abi<'r> {
    registry: &'r Registry,
    policy: Policy,
    breaker: Breaker,
    permits: BTreeMap<u64, sf_permit>,
    given: u64,
    script: Script,
    listener: Option<Box<sf_listener>>,
    events: Box<Events>,
}

impl<'r> Abi<'r> {
    fn new(registry: &'r Registry, policy: &str) -> Self {
        registry.at(0);
        let policy = registry.policy(policy).unwrap_or_else(|error| panic!("{}", message(error)));
        let name = c(NAME);
        // SAFETY: as the header asks. It may not be there.
        let _ = unsafe { sf_registry_remove(registry.get(), name.as_ptr()) };
        let script = Script::default();
        let (_names, made) = conditions(&policy, &script);
        let breaker = registry.breaker(NAME, &policy, &made);
        let events: Box<Events> = Box::default();
        let mut listener = MaybeUninit::uninit();
        // SAFETY: as the header asks: the events live longer than the listener.
        let listener = unsafe {
            let user = ptr::from_ref::<Events>(&events).cast_mut().cast();
            let code = sf_registry_listen(registry.get(), Some(hear), user, None, Some(&mut listener), NO_ERROR);
            assert_eq!(code, sf_code::SF_OK);
            Some(Box::from_raw(listener.assume_init()))
        };
        // A breaker takes its seat in the component when it is first asked: at 0, as the others are made.
        let mut abi = Self { registry, policy, breaker, permits: BTreeMap::new(), given: 0, script, listener, events };
        abi.status(0);
        abi
    }

    fn at(&self, now: u64) {
        self.registry.at(i64::try_from(now).unwrap_or(i64::MAX));
        self.events.lock().expect("no panics").clear();
    }

    fn event(&self) -> Option<EventSeen> {
        self.events.lock().expect("no panics").pop()
    }

    fn rejection(ask: impl FnOnce(*mut sf_rejection) -> sf_code) -> Option<Seen> {
        let mut reason = [1_u8; 2048];
        let mut rejection = sized!(sf_rejection);
        (rejection.reason, rejection.reason_capacity) = (reason.as_mut_ptr().cast(), reason.len());
        match ask(&raw mut rejection) {
            sf_code::SF_OK => None,
            sf_code::SF_REJECTED => {
                assert_eq!(rejection.component_failed, 0);
                let reason = (rejection.has_reason != 0).then(|| text(rejection.reason));
                assert_eq!(reason.as_ref().map_or(0, String::len), rejection.reason_bytes);
                Some(Seen {
                    admitted: Some(false),
                    state: Some(state_name(rejection.state)),
                    retry_after_ns: (rejection.has_retry_after != 0).then_some(rejection.retry_after_ns),
                    trip_count: Some(rejection.trip_count),
                    reason,
                    ..Seen::default()
                })
            }
            other => panic!("{other:?}"),
        }
    }

    fn settled(&self, code: sf_code, settled: &sf_settled) -> Seen {
        let effects = ["recorded", "probed", "ignored", "stale", "pending", "lost"];
        match code {
            sf_code::SF_OK => {
                let event = self.event();
                let is_trip = event.as_ref().is_some_and(|event| event.kind == "tripped");
                assert_eq!(settled.tripped, u32::from(is_trip));
                let effect = effects[usize::try_from(settled.effect).expect("an effect")];
                Seen { effect: Some(effect.into()), event, ..Seen::default() }
            }
            sf_code::SF_INVALID_SCORE => invalid_score(),
            sf_code::SF_PERMIT_SETTLED => gone(),
            other => panic!("{other:?}"),
        }
    }

    fn changed(&self, code: sf_code) -> Seen {
        assert_eq!(code, sf_code::SF_OK);
        Seen { event: self.event(), ..Seen::default() }
    }
}

impl Drop for Abi<'_> {
    fn drop(&mut self) {
        sf_listener_free(self.listener.take());
    }
}

impl Subject for Abi<'_> {
    fn before(&mut self, now: u64) -> Seen {
        self.at(now);
        let mut taken = None;
        let refused = Self::rejection(|rejection| {
            let (code, permit) = self.breaker.take(rejection);
            taken = Some(permit);
            code
        });
        if let Some(refused) = refused {
            return refused;
        }
        self.given += 1;
        self.permits.insert(self.given, taken.expect("a permit"));
        Seen { admitted: Some(true), permit: Some(self.given), event: self.event(), ..Seen::default() }
    }

    fn settle(&mut self, permit: u64, ending: &Ending, now: u64) -> Seen {
        self.at(now);
        self.script.lock().expect("no panics").clone_from(&ending.verdicts);
        let Some(permit) = self.permits.get_mut(&permit) else { return gone() };
        let mut outcome = sized!(sf_outcome);
        let kind = KINDS.iter().position(|kind| *kind == ending.kind).expect("a kind");
        outcome.kind = i32::try_from(kind).expect("there are eight");
        (outcome.has_latency, outcome.latency_ns) = (1, ending.latency);
        match ending.signal {
            SignalIn::None => {}
            SignalIn::Pending => outcome.signal = sf_signal::SF_PENDING as i32,
            SignalIn::Score(score) => (outcome.signal, outcome.score) = (sf_signal::SF_SCORE as i32, score),
        }
        if let Some(span) = ending.retry_after {
            (outcome.has_retry_after, outcome.retry_after_ns) = (1, span);
        }
        let mut settled = sized!(sf_settled);
        // SAFETY: as the header asks.
        let code = unsafe { sf_permit_settle(Some(permit), &raw const outcome, &raw mut settled) };
        if code == sf_code::SF_OK {
            assert_eq!(settled.latency_ns, ending.latency);
        }
        self.settled(code, &settled)
    }

    fn report(&mut self, permit: u64, score: Option<f64>, now: u64) -> Seen {
        self.at(now);
        let Some(permit) = self.permits.get_mut(&permit) else { return gone() };
        let mut report = sized!(sf_settled);
        // SAFETY: as the header asks.
        let code = unsafe {
            match score {
                Some(score) => sf_permit_report_quality(Some(permit), score, &raw mut report),
                None => sf_permit_report_missing(Some(permit), &raw mut report),
            }
        };
        self.settled(code, &report)
    }

    fn would_refuse(&mut self, now: u64) -> Seen {
        self.at(now);
        let breaker = &self.breaker;
        // SAFETY: as the header asks.
        let refused = Self::rejection(|rejection| unsafe { sf_breaker_would_refuse(breaker.get(), rejection) });
        refused.unwrap_or(Seen { admitted: Some(true), ..Seen::default() })
    }

    fn status(&mut self, now: u64) -> StatusSeen {
        self.at(now);
        let mut json = MaybeUninit::uninit();
        assert_eq!(sf_breaker_status_json(self.breaker.get(), Some(&mut json), NO_ERROR), sf_code::SF_OK);
        // SAFETY: the library has written it.
        let json = taken(unsafe { json.assume_init() });
        let seen = status_seen(&serde_json::from_str(&json).expect("JSON"));
        let mut numbers = sized!(sf_status);
        // SAFETY: as the header asks.
        let code = unsafe { sf_breaker_status(self.breaker.get(), &raw mut numbers, NO_ERROR) };
        assert_eq!(code, sf_code::SF_OK);
        same_numbers(&numbers, &seen);
        seen
    }

    fn reset(&mut self, now: u64) -> Seen {
        self.at(now);
        self.changed(sf_breaker_reset(self.breaker.get(), NO_ERROR))
    }

    fn operator(&mut self, name: &str, now: u64) -> Seen {
        self.at(now);
        let state = (0..).find(|state| state_name(*state) == name).expect("a state");
        self.changed(sf_breaker_set_operator_state(self.breaker.get(), state, NO_ERROR))
    }

    fn trip(&mut self, reason: &str, open_for: Option<u64>, now: u64) -> Seen {
        self.at(now);
        let reason = c(reason);
        // SAFETY: as the header asks.
        let code = unsafe { sf_breaker_trip(self.breaker.get(), reason.as_ptr(), open_for.unwrap_or(0), NO_ERROR) };
        self.changed(code)
    }

    /// As a process that ends, and another that restores what it saved: its permits are gone.
    fn reincarnate(&mut self, now: u64, then: u64, away: u64) {
        self.at(now);
        let (mut bytes, mut length) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        let code = sf_breaker_snapshot(self.breaker.get(), Some(&mut bytes), Some(&mut length), NO_ERROR);
        assert_eq!(code, sf_code::SF_OK);
        // SAFETY: the library has written both.
        let (bytes, length) = unsafe { (bytes.assume_init(), length.assume_init()) };
        self.permits.clear();
        let name = c(NAME);
        let (_names, made) = conditions(&self.policy, &self.script);
        let (mut breaker, mut error) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: all as the header asks.
        unsafe {
            assert_eq!(sf_registry_remove(self.registry.get(), name.as_ptr()), sf_code::SF_OK);
            self.at(then);
            let (list, count) = (made.as_ptr(), made.len());
            let code = sf_registry_restore(
                self.registry.get(),
                name.as_ptr(),
                self.policy.get(),
                list,
                count,
                bytes,
                length,
                away,
                Some(&mut breaker),
                Some(&mut error),
            );
            assert_eq!(
                code,
                sf_code::SF_OK,
                "{:?}",
                (!error.assume_init().is_null()).then(|| message(error.assume_init()))
            );
            sf_bytes_free(bytes, length);
            self.breaker = Breaker(breaker.assume_init());
        }
    }
}

fn status_seen(found: &Value) -> StatusSeen {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let number = |key: &str| found[key].as_u64().unwrap_or_else(|| panic!("`{key}`"));
    let small = |key: &str| u32::try_from(number(key)).expect("32 bits");
    let total = |key: &str| found["totals"][key].as_u64().expect("a total");
    let list = |key: &str| found[key].as_array().expect("a list").iter();
    let transition = |t: &Value| {
        seen::transition(&text(&t["old"]), &text(&t["new"]), t["at_ns"].as_i64().expect("a time"), &text(&t["text"]))
    };
    let reading = |r: &Value| ReadingSeen {
        path: text(&r["path"]),
        value: r["value"].as_f64(),
        limit: r["limit"].as_f64().expect("a limit"),
        filled: u32::try_from(r["filled"].as_u64().expect("a count")).expect("32 bits"),
        needed: u32::try_from(r["needed"].as_u64().expect("a count")).expect("32 bits"),
        holds: r["holds"].as_bool().expect("a bool"),
    };
    StatusSeen {
        state: text(&found["state"]),
        since_ns: found["since_ns"].as_i64().expect("a time"),
        generation: small("generation"),
        would_refuse: found["would_refuse"].as_bool().expect("a bool"),
        retry_after_ns: found["retry_after_ns"].as_u64(),
        trip_count: number("trip_count"),
        reopen_count: small("reopen_count"),
        last_trip_at_ns: found["last_trip"]["at_ns"].as_i64(),
        last_trip: found["last_trip"]["text"].as_str().map(ToOwned::to_owned),
        transitions: list("transitions").map(transition).collect(),
        calls: total("calls"),
        successes: total("successes"),
        failures: total("failures"),
        neutral: total("neutral"),
        rejections: total("rejections"),
        stale: total("stale"),
        last_failure_at_ns: found["last_failure"]["at_ns"].as_i64(),
        last_failure: found["last_failure"]["kind"].as_str().map(ToOwned::to_owned),
        consecutive_failures: small("consecutive_failures"),
        consecutive_successes: small("consecutive_successes"),
        conditions: list("conditions").map(reading).collect(),
        live_probes: small("live_probes"),
        passed_probes: small("passed_probes"),
        calls_per_minute: small("calls_per_minute"),
    }
}

/// The struct says what the JSON says.
fn same_numbers(numbers: &sf_status, seen: &StatusSeen) {
    let given = |has: u32, value| (has != 0).then_some(value);
    assert_eq!(state_name(numbers.state), seen.state);
    assert_eq!(numbers.would_refuse != 0, seen.would_refuse);
    assert_eq!((numbers.since_ns, numbers.generation), (seen.since_ns, seen.generation));
    assert_eq!(given(numbers.has_retry_after, numbers.retry_after_ns), seen.retry_after_ns);
    assert_eq!((numbers.trip_count, numbers.reopen_count), (seen.trip_count, seen.reopen_count));
    let totals =
        (numbers.calls, numbers.successes, numbers.failures, numbers.neutral, numbers.rejections, numbers.stale);
    assert_eq!(totals, (seen.calls, seen.successes, seen.failures, seen.neutral, seen.rejections, seen.stale));
    let in_a_row = (numbers.consecutive_failures, numbers.consecutive_successes);
    assert_eq!(in_a_row, (seen.consecutive_failures, seen.consecutive_successes));
    let probes = (numbers.live_probes, numbers.passed_probes, numbers.calls_per_minute);
    assert_eq!(probes, (seen.live_probes, seen.passed_probes, seen.calls_per_minute));
    assert_eq!((numbers.has_last_failure != 0).then_some(numbers.last_failure_at_ns), seen.last_failure_at_ns);
    let kind = (numbers.has_last_failure != 0).then(|| text(sf_kind_name(numbers.last_failure_kind)));
    assert_eq!(kind, seen.last_failure);
    assert_eq!((numbers.has_last_trip != 0).then_some(numbers.last_trip_at_ns), seen.last_trip_at_ns);
}

/// A number as this test's JSON reader reads it: it may be off by the last bit, where the text isn't.
fn as_read(number: f64) -> f64 {
    serde_json::from_str(&Value::from(number).to_string()).expect("a number")
}

/// A registry whose breakers are leased from the first call on, or never.
fn registry(leased: bool) -> Registry {
    Registry::new(|settings| {
        settings.has_lease_after = 1;
        settings.lease_after = if leased { 0 } else { u32::MAX };
    })
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

/// The shared vectors, and those of the files that `SOFTFUSE_VECTORS` names.
fn vectors() -> Vec<Vector> {
    let mut vectors = load(&folder()).expect("the vectors load");
    for path in std::env::var_os("SOFTFUSE_VECTORS").iter().flat_map(std::env::split_paths) {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        vectors.extend(parse(&path.display().to_string(), &text).expect("the vectors parse"));
    }
    let mut names: Vec<&str> = vectors.iter().map(|vector| vector.name.as_str()).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None, "two vectors of one name");
    vectors
}

fn problems(registry: &Registry, text: &str) -> Vec<Found> {
    let Err(error) = registry.policy(text) else { panic!("a policy that is wrong was taken: {text}") };
    // SAFETY: the library gave it, and it is freed once.
    let error = unsafe { Box::from_raw(error) };
    assert_eq!(sf_error_code(Some(&error)), sf_code::SF_INVALID_POLICY);
    let problem = |at| {
        let mut found = sized!(sf_problem);
        // SAFETY: as the header asks.
        let code = unsafe { sf_error_problem(Some(&error), at, &raw mut found) };
        assert_eq!(code, sf_code::SF_OK);
        let text = common::text;
        (found.line, found.column, text(found.key), text(found.message), text_if(found.nearest))
    };
    let found = (0..sf_error_problem_count(Some(&error))).map(problem).collect();
    sf_error_free(Some(error));
    found
}

#[test]
fn every_vector_leased_and_eager() {
    for leased in [true, false] {
        let registry = registry(leased);
        let vectors = vectors();
        let mut ran = 0;
        let mut failures = Vec::new();
        // Those speak the contract itself, whose permits are raw numbers: the component runs them, in the Rust host's tests.
        for vector in vectors.iter().filter(|vector| !vector.is_raw()) {
            ran += 1;
            failures
                .extend(vector.run(&mut Abi::new(&registry, &vector.policy)).err().map(|error| format!("{error:#}")));
        }
        assert!(failures.is_empty(), "leased: {leased}: {}", failures.join("\n\n"));
        let bad = load_bad(&folder()).expect("the vectors load");
        for bad in &bad {
            bad.check(&problems(&registry, &bad.text)).expect("the same problems");
        }
        println!("leased: {leased}: {ran} vectors and {} bad policies through the ABI", bad.len());
        assert!(ran > 50, "only {ran} vectors");
    }
}

#[test]
fn it_decides_as_the_core_on_random_histories() {
    let (leased, eager) = (registry(true), registry(false));
    let trips = std::cell::Cell::new(0);
    let histories = prop_oneof![3 => Just(0), 1 => Just(2)]
        .prop_flat_map(|conditions| (policy(conditions > 0), history(OPS_MAX, conditions)));
    let config = Config { cases: HISTORIES, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&histories, |(text, ops)| {
        let named =
            softfuse_core::Policy::parse(&text).map_err(|problems| TestCaseError::fail(format!("{problems:?}")))?;
        let count = named.host_conditions().len();
        let mut expected = run(&ops, &mut Disciplined::new(CoreSubject::new(Arc::new(named)), count));
        for reading in expected.statuses.iter_mut().flat_map(|status| &mut status.conditions) {
            reading.value = reading.value.map(as_read);
            reading.limit = as_read(reading.limit);
        }
        let registry = if ops.len() % 4 == 0 { &eager } else { &leased };
        let found = run(&ops, &mut Abi::new(registry, &text));
        prop_assert_eq!(&expected, &found, "{}", text);
        trips.set(trips.get() + expected.trips());
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    println!("{HISTORIES} histories equal, {} trips", trips.get());
    assert!(trips.get() > HISTORIES as usize / 10, "histories that never trip prove nothing");
}

#[derive(serde::Deserialize)]
struct Statuses {
    status: Vec<Status>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    name: String,
    from: u16,
    to: Option<u16>,
    kind: String,
}

#[test]
fn statuses_count_as_in_every_host() {
    let path = folder().join("http/statuses.toml");
    let file: Statuses = toml::from_str(&std::fs::read_to_string(path).expect("the file")).expect("TOML");
    let mut named = 0;
    for Status { name, from, to, kind } in file.status {
        for status in from..=to.unwrap_or(from) {
            named += 1;
            assert_eq!(text(sf_kind_name(sf_kind_of_http_status(status))), kind, "{status}: {name}");
        }
    }
    assert_eq!(named, 1000, "every status is named");
}
