#![no_main]
//! See `capstan_fuzz::targets::iscsi_target`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| capstan_fuzz::targets::iscsi_target::run(data));
