#![no_main]
//! See `capstan_fuzz::targets::tape_files`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| capstan_fuzz::targets::tape_files::run(data));
