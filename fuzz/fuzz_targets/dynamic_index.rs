#![no_main]
//! See `capstan_fuzz::targets::dynamic_index`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| capstan_fuzz::targets::dynamic_index::run(data));
