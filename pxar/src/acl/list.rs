//! Access control lists as an archive keeps them; the parent's header says what that leaves out.

/// A user or group with permissions of its own. Ordered as the format wants lists to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// uid or gid.
    pub id: u64,
    /// 4 read, 2 write, 1 execute.
    pub permissions: u64,
}

/// Base entries of a default ACL; [`ACL_ABSENT`](crate::format::ACL_ABSENT) for one that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultBase {
    /// Owner.
    pub user_obj: u64,
    /// Owning group.
    pub group_obj: u64,
    /// Everybody else.
    pub other: u64,
    /// Upper bound of group and named entries.
    pub mask: u64,
}

/// The ACLs of one entry, as an archive keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    /// Named users of the access ACL.
    pub users: Vec<Named>,
    /// Named groups of the access ACL.
    pub groups: Vec<Named>,
    /// Permissions of the owning group, if the access ACL has a mask.
    pub group_obj: Option<u64>,
    /// Base of the default ACL.
    pub default: Option<DefaultBase>,
    /// Named users of the default ACL.
    pub default_users: Vec<Named>,
    /// Named groups of the default ACL.
    pub default_groups: Vec<Named>,
}

impl Acl {
    /// Whether there is nothing beyond the mode bits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.has_access() && !self.has_default()
    }

    /// Whether an access ACL has to be set on restore.
    #[must_use]
    pub fn has_access(&self) -> bool {
        !self.users.is_empty() || !self.groups.is_empty() || self.group_obj.is_some()
    }

    /// Whether a default ACL has to be set on restore.
    #[must_use]
    pub fn has_default(&self) -> bool {
        self.default.is_some() || !self.default_users.is_empty() || !self.default_groups.is_empty()
    }
}
