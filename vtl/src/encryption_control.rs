//! Who is in charge of encryption in the drives of a library.

use zeroize::Zeroizing;

/// Who sets encryption parameters.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum EncryptionControl {
    /// Hosts, with SECURITY PROTOCOL OUT.
    #[default]
    Hosts,
    /// The library, on behalf of a key manager. Hosts are refused; with a key, all drives encrypt and
    /// decrypt with it.
    Library {
        /// The key in force.
        key: Option<Zeroizing<[u8; 32]>>,
    },
}

/// Without the key.
impl std::fmt::Debug for EncryptionControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            EncryptionControl::Hosts => "Hosts",
            EncryptionControl::Library { key: None } => "Library without a key",
            EncryptionControl::Library { key: Some(_) } => "Library with a key",
        })
    }
}
