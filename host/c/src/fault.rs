//! How a function fails: a code, and for whoever asks an object that says why.

use std::any::Any;
use std::ffi::{CString, c_char};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use softfuse::{ComponentFailure, LoadError, PolicyError, PolicyProblem, RegistryError, ReplaceError, ScorerError};

use crate::code::sf_code;
use crate::sized::{sized, write};
use crate::text::owned;

/// Why a function failed. Whoever got it frees it with `sf_error_free`. One thread at a time, any thread.
pub struct sf_error {
    code: sf_code,
    message: CString,
    problems: Vec<Problem>,
}

struct Problem {
    line: u32,
    column: u32,
    key: CString,
    message: CString,
    nearest: Option<CString>,
}

/// One thing wrong with a policy's text, or with a scorer's configuration. Its texts are the error's, and live as long.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_problem {
    /// `sizeof(sf_problem)`, set by the caller.
    pub size: usize,
    /// From 1; 0 where it isn't known.
    pub line: u32,
    /// From 1, in characters; 0 where it isn't known.
    pub column: u32,
    /// The key, with its path, as in `trip_on.quality_below.window`; empty where the text as a whole is wrong.
    pub key: *const c_char,
    /// What is wrong, and what would be right.
    pub message: *const c_char,
    /// For an unknown key the nearest that exists, else NULL.
    pub nearest: *const c_char,
}

sized!(sf_problem);

/// What went wrong, on its way to the caller. It is a word, so that a result with it goes in registers: what is written to memory in
/// small pieces, and read in larger ones, a processor waits for.
pub(crate) struct Fault(Box<Told>);

/// What there is to tell of it.
struct Told {
    code: sf_code,
    message: String,
    problems: Vec<Problem>,
}

impl Fault {
    #[cold]
    pub(crate) fn new(code: sf_code, message: impl Into<String>) -> Self {
        Self::with_problems(code, message.into(), Vec::new())
    }

    fn with_problems(code: sf_code, message: String, problems: Vec<Problem>) -> Self {
        Self(Box::new(Told { code, message, problems }))
    }

    #[cold]
    pub(crate) fn argument(message: &str) -> Self {
        Self::new(sf_code::SF_INVALID_ARGUMENT, message)
    }

    #[cold]
    pub(crate) fn null(argument: &str) -> Self {
        Self::argument(&format!("`{argument}` is NULL"))
    }

    pub(crate) fn code(&self) -> sf_code {
        self.0.code
    }
}

/// What a pointer to a handle points to.
#[inline]
pub(crate) fn handle<'a, T>(handle: Option<&'a T>, argument: &str) -> Result<&'a T, Fault> {
    handle.ok_or_else(|| Fault::null(argument))
}

impl From<ComponentFailure> for Fault {
    fn from(failure: ComponentFailure) -> Self {
        Self::new(sf_code::SF_COMPONENT_FAILED, failure.to_string())
    }
}

impl From<LoadError> for Fault {
    fn from(error: LoadError) -> Self {
        let code = match error {
            LoadError::Unreadable { .. } => sf_code::SF_UNREADABLE,
            _ => sf_code::SF_NOT_LOADED,
        };
        Self::new(code, error.to_string())
    }
}

impl From<PolicyError> for Fault {
    fn from(error: PolicyError) -> Self {
        let message = error.to_string();
        match error {
            PolicyError::Invalid { problems, .. } => {
                let problems = problems.into_iter().map(Problem::from).collect();
                Self::with_problems(sf_code::SF_INVALID_POLICY, message, problems)
            }
            PolicyError::Unreadable { .. } => Self::new(sf_code::SF_UNREADABLE, message),
            PolicyError::Component(_) => Self::new(sf_code::SF_COMPONENT_FAILED, message),
            _ => Self::new(sf_code::SF_INVALID_POLICY, message),
        }
    }
}

impl From<RegistryError> for Fault {
    fn from(error: RegistryError) -> Self {
        let code = match error {
            RegistryError::PolicyDiffers { .. } => sf_code::SF_POLICY_DIFFERS,
            RegistryError::ConditionMissing { .. } | RegistryError::ConditionUnknown { .. } => {
                sf_code::SF_CONDITIONS_DIFFER
            }
            RegistryError::TooMany { .. } | RegistryError::NoRoom { .. } => sf_code::SF_NO_ROOM,
            RegistryError::KeyTooLong { .. } => sf_code::SF_INVALID_ARGUMENT,
            RegistryError::NameTaken(_) => sf_code::SF_NAME_TAKEN,
            RegistryError::NotRestored { .. } => sf_code::SF_NOT_RESTORED,
            _ => sf_code::SF_COMPONENT_FAILED,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ReplaceError> for Fault {
    fn from(error: ReplaceError) -> Self {
        let message = error.to_string();
        match error {
            ReplaceError::Load(error) => Self::from(error),
            _ => Self::new(sf_code::SF_COMPONENT_FAILED, message),
        }
    }
}

impl From<ScorerError> for Fault {
    fn from(error: ScorerError) -> Self {
        let message = error.to_string();
        match error {
            ScorerError::Load(error) => Self::from(error),
            ScorerError::Failed { failure: softfuse::ScorerFailure::BadConfig(problems), .. } => {
                let problem = |problem: softfuse::ConfigProblem| Problem {
                    line: 0,
                    column: 0,
                    key: owned(&problem.key),
                    message: owned(&problem.message),
                    nearest: None,
                };
                let problems = problems.into_iter().map(problem).collect();
                Self::with_problems(sf_code::SF_SCORER_FAILED, message, problems)
            }
            _ => Self::new(sf_code::SF_SCORER_FAILED, message),
        }
    }
}

impl From<PolicyProblem> for Problem {
    fn from(problem: PolicyProblem) -> Self {
        Self {
            line: problem.line,
            column: problem.column,
            key: owned(&problem.key),
            message: owned(&problem.message),
            nearest: problem.nearest.as_deref().map(owned),
        }
    }
}

/// Where an error goes, if anybody asks for it.
pub(crate) type ErrorOut<'a> = Option<&'a mut MaybeUninit<*mut sf_error>>;

/// Runs a function of the ABI. A panic ends here.
pub(crate) fn run(error: ErrorOut<'_>, body: impl FnOnce() -> Result<(), Fault>) -> sf_code {
    let fault = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => None,
        Ok(Err(fault)) => Some(fault),
        Err(panic) => Some(panicked(panic)),
    };
    let code = fault.as_ref().map_or(sf_code::SF_OK, Fault::code);
    if let Some(error) = error {
        let made = fault.map(|Fault(told)| {
            let Told { code, message, problems } = *told;
            Box::into_raw(Box::new(sf_error { code, message: owned(&message), problems }))
        });
        error.write(made.unwrap_or(ptr::null_mut()));
    }
    code
}

/// Runs what is done on every call, and says no more than a code.
#[inline]
pub(crate) fn quick(body: impl FnOnce() -> Result<sf_code, Fault>) -> sf_code {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(code)) => code,
        Ok(Err(fault)) => fault.code(),
        Err(panic) => panicked(panic).code(),
    }
}

/// Runs a function that only asks. A panic ends here, and has the answer that is given for it.
pub(crate) fn ask<T>(instead: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        forget(panic);
        instead
    })
}

#[cold]
fn panicked(panic: Box<dyn Any + Send>) -> Fault {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    forget(panic);
    Fault::new(sf_code::SF_PANICKED, format!("a mistake of the library's own, please report it: {text}"))
}

/// What a panic leaves may panic when it is dropped.
fn forget(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}

/// An error's code, the one that the function returned. `SF_OK` for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn sf_error_code(error: Option<&sf_error>) -> sf_code {
    error.map_or(sf_code::SF_OK, |error| error.code)
}

/// An error in words, as a person reads it; of a policy, a line for each problem. It is the error's, and lives as long. An empty
/// string for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn sf_error_message(error: Option<&sf_error>) -> *const c_char {
    error.map_or(c"".as_ptr(), |error| error.message.as_ptr())
}

/// How many problems `sf_error_problem` tells: those of a policy's text, or of a scorer's configuration. 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn sf_error_problem_count(error: Option<&sf_error>) -> usize {
    error.map_or(0, |error| error.problems.len())
}

/// The problem at `index`, from 0, in order of appearance, into `problem`, whose `size` the caller has set.
///
/// `SF_NOT_FOUND` where there are fewer; `SF_INVALID_ARGUMENT` for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_error_problem(error: Option<&sf_error>, index: usize, problem: *mut sf_problem) -> sf_code {
    run(None, || {
        let error = handle(error, "error")?;
        let found = error.problems.get(index).ok_or_else(|| Fault::new(sf_code::SF_NOT_FOUND, ""))?;
        let set = |out: &mut sf_problem| {
            out.line = found.line;
            out.column = found.column;
            out.key = found.key.as_ptr();
            out.message = found.message.as_ptr();
            out.nearest = found.nearest.as_ref().map_or(ptr::null(), |nearest| nearest.as_ptr());
        };
        // SAFETY: by the header's rule of structs that are filled.
        unsafe { write(problem, "problem", set) }
    })
}

/// Frees an error, and with it all texts that it gave. NULL is nothing.
#[unsafe(no_mangle)]
pub extern "C" fn sf_error_free(error: Option<Box<sf_error>>) {
    drop(error);
}
