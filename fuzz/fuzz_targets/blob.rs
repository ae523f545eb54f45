#![no_main]
//! See `capstan_fuzz::targets::blob`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| capstan_fuzz::targets::blob::run(data));
