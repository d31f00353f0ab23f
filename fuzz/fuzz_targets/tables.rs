//! A table object's own buffers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| framelock_fuzz::tables(bytes));
