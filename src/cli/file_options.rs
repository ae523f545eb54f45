//! How files are put into a folder: the switches that `restore` and `tape extract` share.

/// Switches of a restore into a folder.
#[derive(Debug, clap::Args)]
pub struct FileOptionsArgs {
    /// Restore into folders that exist
    #[arg(long)]
    allow_existing_dirs: bool,
    /// Replace files and links that exist
    #[arg(long)]
    pub overwrite: bool,
    /// Do not restore owners
    #[arg(long)]
    ignore_ownership: bool,
    /// Do not restore permissions
    #[arg(long)]
    ignore_permissions: bool,
    /// Do not restore extended attributes
    #[arg(long)]
    ignore_xattrs: bool,
    /// Do not restore access control lists
    #[arg(long)]
    ignore_acls: bool,
}

impl FileOptionsArgs {
    /// What they mean; everything else is as by default.
    pub fn options(&self) -> pxar::extract::Options {
        pxar::extract::Options {
            allow_existing_dirs: self.allow_existing_dirs || self.overwrite,
            overwrite_files: self.overwrite,
            overwrite_symlinks: self.overwrite,
            overwrite_hardlinks: self.overwrite,
            ownership: !self.ignore_ownership,
            permissions: !self.ignore_permissions,
            xattrs: !self.ignore_xattrs,
            acls: !self.ignore_acls,
            ..pxar::extract::Options::default()
        }
    }
}
