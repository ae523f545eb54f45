#![no_main]
//! See `capstan_fuzz::targets::fixed_index`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| capstan_fuzz::targets::fixed_index::run(data));
