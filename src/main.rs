//! The `capstan` program: arguments and glue.
fn main() {}
