//! The component.
#![no_std]
