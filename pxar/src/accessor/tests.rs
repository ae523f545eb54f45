//! Random access against hostile and random archives.
