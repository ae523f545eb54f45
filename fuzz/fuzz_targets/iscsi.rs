#![no_main]
//! See `capstan_fuzz::targets::iscsi`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| capstan_fuzz::targets::iscsi::run(data));
