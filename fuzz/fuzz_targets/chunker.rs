#![no_main]
//! See `capstan_fuzz::targets::chunker`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| capstan_fuzz::targets::chunker::run(data));
