//! Task Management Function Request and Response (RFC 7143 §11.5, §11.6).
//!
//! Request: byte 1 function in the low seven bits; 8 logical unit; 20 referenced task tag; 24 CmdSN; 28
//! ExpStatSN; 32 RefCmdSN; 36 ExpDataSN. Response: byte 2 result; 24 counters.

use super::{Counters, FINAL, Header, opcode};
use crate::iscsi::{Result, lun};

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A code that the RFC does not define.
            Other(u8),
        }

        impl $name {
            /// From the code on the wire.
            pub const fn from_code(code: u8) -> $name {
                match code {
                    $($code => $name::$variant,)*
                    other => $name::Other(other),
                }
            }

            /// The code on the wire.
            pub const fn code(self) -> u8 {
                match self {
                    $($name::$variant => $code,)*
                    $name::Other(code) => code,
                }
            }
        }
    };
}
pub(super) use coded;

coded! {
    /// What to do with tasks (§11.5.1).
    TaskFunction {
        /// End one task.
        AbortTask = 1,
        /// End all tasks of this session on the unit.
        AbortTaskSet = 2,
        /// Clear an auto contingent allegiance.
        ClearAca = 3,
        /// End all tasks on the unit.
        ClearTaskSet = 4,
        /// Reset the unit.
        LogicalUnitReset = 5,
        /// Reset the target.
        TargetWarmReset = 6,
        /// Reset the target and drop its sessions.
        TargetColdReset = 7,
        /// Move a task to this connection.
        TaskReassign = 8,
    }
}

coded! {
    /// How a function ended (§11.6.1).
    TaskResult {
        /// Done.
        Complete = 0,
        /// There is no such task (it may have just ended).
        NoTask = 1,
        /// There is no such unit.
        NoUnit = 2,
        /// The task is still on its connection.
        StillAllegiant = 3,
        /// Tasks can't be moved.
        ReassignNotSupported = 4,
        /// The target does not know the function.
        NotSupported = 5,
        /// The initiator must not do this.
        NotAuthorized = 6,
        /// Refused.
        Rejected = 255,
    }
}

/// Task Management Function Request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskManagementRequest {
    /// For immediate delivery.
    pub is_immediate: bool,
    /// What to do.
    pub function: TaskFunction,
    /// Logical unit number.
    pub lun: u64,
    /// Task tag of this request.
    pub task_tag: u32,
    /// Task tag of the command to end, or [`super::NO_TAG`].
    pub referenced_tag: u32,
    /// Number of this request, or of the next command if it is immediate.
    pub cmd_sn: u32,
    /// Next status that the initiator expects.
    pub exp_stat_sn: u32,
    /// CmdSN of the command to end.
    pub ref_cmd_sn: u32,
    /// For moving a task.
    pub exp_data_sn: u32,
}

impl TaskManagementRequest {
    pub(super) fn parse(header: &Header) -> Result<TaskManagementRequest> {
        header.must_be(opcode::TASK_MANAGEMENT_REQUEST, "Task Management Request")?;
        Ok(TaskManagementRequest {
            is_immediate: header.is_immediate(),
            function: TaskFunction::from_code(header.u8(1) & 0x7f),
            lun: lun::decode(header.array(8)),
            task_tag: header.task_tag(),
            referenced_tag: header.u32(20),
            cmd_sn: header.u32(24),
            exp_stat_sn: header.u32(28),
            ref_cmd_sn: header.u32(32),
            exp_data_sn: header.u32(36),
        })
    }

    pub(super) fn build(&self) -> Header {
        Header::new(opcode::TASK_MANAGEMENT_REQUEST, FINAL | self.function.code())
            .immediate(self.is_immediate)
            .put(8, &lun::encode(self.lun))
            .put_u32(16, self.task_tag)
            .put_u32(20, self.referenced_tag)
            .put_u32(24, self.cmd_sn)
            .put_u32(28, self.exp_stat_sn)
            .put_u32(32, self.ref_cmd_sn)
            .put_u32(36, self.exp_data_sn)
    }
}

/// Task Management Function Response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskManagementResponse {
    /// How it ended.
    pub result: TaskResult,
    /// Task tag of the request.
    pub task_tag: u32,
    /// The target's numbers.
    pub counters: Counters,
}

impl TaskManagementResponse {
    pub(super) fn parse(header: &Header) -> Result<TaskManagementResponse> {
        header.must_be(opcode::TASK_MANAGEMENT_RESPONSE, "Task Management Response")?;
        Ok(TaskManagementResponse {
            result: TaskResult::from_code(header.u8(2)),
            task_tag: header.task_tag(),
            counters: Counters::parse(header),
        })
    }

    pub(super) fn build(&self) -> Header {
        let header = Header::new(opcode::TASK_MANAGEMENT_RESPONSE, FINAL)
            .put(2, &[self.result.code()])
            .put_u32(16, self.task_tag);
        self.counters.put(header)
    }
}
