//! Text in a column that has a type.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| framelock_fuzz::texts(bytes));
