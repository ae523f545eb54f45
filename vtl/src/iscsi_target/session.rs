//! A session: what its own threads and those of other sessions share.

use std::net::TcpStream;
use std::sync::Arc;

use scsi::iscsi::parameters::Parameters;
use scsi::iscsi::pdu::{Response, TaskManagementResponse, TaskResult};

use super::lanes::{Aftermath, Ask, Lanes};
use super::management::Management;
use super::outbox::Outbox;
use super::stream;
use crate::library::HostReference;

/// What belongs to a session and may be touched by other sessions' threads.
pub struct Session {
    pub lanes: Lanes<Management>,
    pub outbox: Outbox,
    pub agreed: Parameters,
    pub socket: Arc<TcpStream>,
    /// Not in a discovery session.
    pub host: Option<HostReference>,
}

impl Session {
    /// Ends the session's connection, from any thread.
    pub fn close(&self) {
        stream::close(&self.socket);
    }

    /// Sends what was held back until a command was over.
    pub fn send_aftermath(&self, aftermath: Aftermath) {
        for request in aftermath.waiters {
            self.answer_management(request, TaskResult::Complete);
        }
        self.send_asks(aftermath.asks);
    }

    /// Sends R2Ts for which there was no room before.
    pub fn send_asks(&self, asks: Vec<Ask>) {
        for ask in asks {
            self.outbox.send(|counters| Response::ReadyToTransfer(Ask { counters, ..ask }), &[]);
        }
    }

    /// Answers a task management request.
    pub fn answer_management(&self, task_tag: u32, result: TaskResult) {
        self.outbox.send(
            |counters| {
                Response::TaskManagement(TaskManagementResponse { result, task_tag, counters })
            },
            &[],
        );
    }
}
