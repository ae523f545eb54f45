#![no_main]
//! See `capstan_fuzz::targets::transcript`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| capstan_fuzz::targets::transcript::run(data));
