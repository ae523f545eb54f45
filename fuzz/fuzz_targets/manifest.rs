#![no_main]
//! See `capstan_fuzz::targets::manifest`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| capstan_fuzz::targets::manifest::run(data));
