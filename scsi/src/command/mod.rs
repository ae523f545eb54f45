//! Typed commands and replies of SPC, SSC and SMC.

pub mod opcode;
