#![no_main]
//! See `capstan_fuzz::targets::catalog`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| capstan_fuzz::targets::catalog::run(data));
