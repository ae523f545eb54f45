#![no_main]
//! See `capstan_fuzz::targets::key_file`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| capstan_fuzz::targets::key_file::run(data));
