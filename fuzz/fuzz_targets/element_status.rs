#![no_main]
//! See `capstan_fuzz::targets::element_status`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| capstan_fuzz::targets::element_status::run(data));
