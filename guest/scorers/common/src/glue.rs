//! From the types that wit-bindgen generates to those of this crate and back.
//!
//! wit-bindgen's types exist once a component, so the conversions are macros. A component calls `wit_bindgen::generate!`
//! for its world, then [`export_scorer!`](crate::export_scorer) and, where its world has it,
//! [`export_streaming!`](crate::export_streaming), then `export!(Component)`.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::exchange::{ConfigProblem, Scorer};

/// The scorer of this instance, once it is configured.
#[derive(Debug, Default)]
pub struct Slot<S>(RefCell<Option<Rc<S>>>);

// SAFETY: a component instance runs in one thread at a time, and this target has no threads within an instance.
#[cfg(not(target_feature = "atomics"))]
unsafe impl<S> Sync for Slot<S> {}

impl<S: Scorer> Slot<S> {
    /// An empty slot.
    #[must_use]
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// Configures the scorer; a configuration with problems changes nothing.
    ///
    /// # Errors
    /// All problems.
    pub fn configure(&self, text: &str) -> Result<(), Vec<ConfigProblem>> {
        let scorer = Rc::new(S::configure(text)?);
        self.0.replace(Some(scorer));
        Ok(())
    }

    /// The scorer; with the defaults where nobody has configured it.
    #[must_use]
    pub fn get(&self) -> Rc<S> {
        let mut slot = self.0.borrow_mut();
        match &*slot {
            Some(scorer) => Rc::clone(scorer),
            None => {
                let Ok(scorer) = S::configure("") else {
                    // Held by a test of every scorer: the empty text is the defaults.
                    unreachable!("the defaults are in order")
                };
                let scorer = Rc::new(scorer);
                *slot = Some(Rc::clone(&scorer));
                scorer
            }
        }
    }
}

/// Implements the interface `scorer` for a type `Component`, which it declares, by a [`Scorer`].
#[macro_export]
macro_rules! export_scorer {
    ($scorer:ty) => {
        use exports::softfuse::scorer::scorer as wit;

        static SLOT: $crate::glue::Slot<$scorer> = $crate::glue::Slot::new();

        struct Component;

        impl wit::Guest for Component {
            fn configure(config: ::alloc::string::String) -> Result<(), ::alloc::vec::Vec<wit::ConfigProblem>> {
                SLOT.configure(&config).map_err(|problems| {
                    problems.into_iter().map(|p| wit::ConfigProblem { key: p.key, message: p.message }).collect()
                })
            }

            fn score(exchange: wit::Exchange) -> Result<wit::Verdict, wit::ScoreError> {
                let exchange =
                    $crate::Exchange { head: head_from_wit(exchange.head), answer: body_from_wit(exchange.answer) };
                verdict_to_wit($crate::Scorer::score(&SLOT.get(), &exchange))
            }
        }

        fn body_from_wit(body: wit::Body) -> $crate::Body {
            $crate::Body { content_type: body.content_type, bytes: body.bytes, truncated: body.truncated }
        }

        fn head_from_wit(head: wit::ExchangeHead) -> $crate::Head {
            $crate::Head {
                operation: head.operation,
                model: head.model,
                request: body_from_wit(head.request),
                metadata: head.metadata,
            }
        }

        fn verdict_to_wit(
            verdict: Result<$crate::Verdict, $crate::ScoreError>,
        ) -> Result<wit::Verdict, wit::ScoreError> {
            match verdict {
                Ok($crate::Verdict::Score(score)) => Ok(wit::Verdict::Score(score)),
                Ok($crate::Verdict::Abstain(why)) => Ok(wit::Verdict::Abstain(why)),
                Err($crate::ScoreError::Malformed(what)) => Err(wit::ScoreError::Malformed(what)),
                Err($crate::ScoreError::Other(what)) => Err(wit::ScoreError::Other(what)),
            }
        }
    };
}

/// Implements the interface `streaming` for the `Component` of [`export_scorer!`](crate::export_scorer).
#[macro_export]
macro_rules! export_streaming {
    ($scorer:ty) => {
        use exports::softfuse::scorer::streaming as wit_streaming;

        struct Answer(::core::cell::RefCell<<$scorer as $crate::StreamScorer>::Stream>);

        impl wit_streaming::Guest for Component {
            type Answer = Answer;
        }

        impl wit_streaming::GuestAnswer for Answer {
            fn new(head: wit::ExchangeHead, content_type: ::alloc::string::String) -> Self {
                let stream = $crate::StreamScorer::begin(&SLOT.get(), &head_from_wit(head), &content_type);
                Self(::core::cell::RefCell::new(stream))
            }

            fn push(&self, piece: ::alloc::vec::Vec<u8>) -> Result<Option<wit::Verdict>, wit::ScoreError> {
                match $crate::AnswerStream::push(&mut *self.0.borrow_mut(), &piece) {
                    Ok(None) => Ok(None),
                    Ok(Some(verdict)) => verdict_to_wit(Ok(verdict)).map(Some),
                    Err(error) => verdict_to_wit(Err(error)).map(Some),
                }
            }

            fn finish(&self, complete: bool) -> Result<wit::Verdict, wit::ScoreError> {
                let end = if complete { $crate::End::Complete } else { $crate::End::Broken };
                verdict_to_wit($crate::AnswerStream::finish(&mut *self.0.borrow_mut(), end))
            }
        }
    };
}
