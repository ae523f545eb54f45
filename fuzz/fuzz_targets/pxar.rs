#![no_main]
//! See `capstan_fuzz::targets::pxar`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| capstan_fuzz::targets::pxar::run(data));
