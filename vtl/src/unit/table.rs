//! How the rows of a unit's command table are written: operation code, service action where there is one, usage map of the
//! CDB behind the code, handler.

macro_rules! command {
    ($code:expr, [$($usage:expr),*], $run:expr) => {
        $crate::unit::Entry {
            opcode: $code,
            service_action: None,
            usage: &[$code, $($usage),*],
            run: $run,
        }
    };
    ($code:expr, action $action:expr, [$($usage:expr),*], $run:expr) => {
        $crate::unit::Entry {
            opcode: $code,
            service_action: Some($action),
            usage: &[$code, $($usage),*],
            run: $run,
        }
    };
}

/// A service action of PERSISTENT RESERVE IN.
macro_rules! reserve_in {
    ($action:expr) => {
        $crate::unit::table::command!(
            scsi::command::opcode::PERSISTENT_RESERVE_IN,
            action $action,
            [$action, 0, 0, 0, 0, 0, 0xff, 0xff, 0],
            $crate::unit::reservation::read
        )
    };
}

/// A service action of PERSISTENT RESERVE OUT.
macro_rules! reserve_out {
    ($action:expr) => {
        $crate::unit::table::command!(
            scsi::command::opcode::PERSISTENT_RESERVE_OUT,
            action $action,
            [$action, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0],
            $crate::unit::reservation::write
        )
    };
}

pub(crate) use {command, reserve_in, reserve_out};
