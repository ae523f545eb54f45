#![no_main]
//! See `capstan_fuzz::targets::media_catalog`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| capstan_fuzz::targets::media_catalog::run(data));
