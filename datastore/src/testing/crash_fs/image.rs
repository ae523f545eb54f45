//! The state of a file system at one moment: inodes, and names that stand for them.
//!
//! Names and inodes are apart as on a real disk, because a crash can keep one without the other.
//! An image is cheap to copy, as tests make tens of thousands: inodes are shared until they are
//! changed, and the 65,536 folders of a chunk store are one set of bits until something is in them.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use crate::storage::Kind;

pub(super) type Inode = u64;
pub(super) const ROOT: Inode = 1;
const FAN_FOLDERS: usize = 1 << 16;

/// The folders `0000` … `ffff`, one bit each.
#[derive(Debug, Clone)]
struct Fan {
    bits: Vec<u64>,
    mode: u32,
}

impl Fan {
    fn has(&self, prefix: u16) -> bool {
        self.bits.get(usize::from(prefix) / 64).is_some_and(|word| (word >> (prefix % 64)) & 1 == 1)
    }

    fn set(&mut self, prefix: u16, is_there: bool) {
        if let Some(word) = self.bits.get_mut(usize::from(prefix) / 64) {
            let bit = 1 << (prefix % 64);
            *word = if is_there { *word | bit } else { *word & !bit };
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Dir {
    entries: BTreeMap<String, Inode>,
    fan: Option<Arc<Fan>>,
    mode: u32,
}

#[derive(Debug, Clone)]
pub(super) struct FileNode {
    pub(super) content: Arc<Vec<u8>>,
    pub(super) mode: u32,
    pub(super) atime: i64,
    pub(super) mtime: i64,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Dir(Dir),
    File(FileNode),
}

impl Node {
    pub(super) fn dir(mode: u32) -> Node {
        Node::Dir(Dir { entries: BTreeMap::new(), fan: None, mode })
    }

    pub(super) fn file(mode: u32, now: i64) -> Node {
        Node::File(FileNode { content: Arc::default(), mode, atime: now, mtime: now })
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Node::Dir(_) => Kind::Dir,
            Node::File(_) => Kind::File,
        }
    }

    pub(super) fn mode(&self) -> u32 {
        match self {
            Node::Dir(dir) => dir.mode,
            Node::File(file) => file.mode,
        }
    }
}

/// One change of names, in one step: each name and what it stands for afterwards.
pub(super) type Names = Vec<(Inode, String, Option<Inode>)>;

/// A file system at one moment.
#[derive(Debug, Clone)]
pub struct Image {
    nodes: HashMap<Inode, Arc<Node>>,
    next: Inode,
}

/// Inode of a folder of the fan, which need not be in the table as long as it is empty.
fn fan_inode(dir: Inode, prefix: u16) -> Inode {
    (dir << 20) | (1 << 19) | u64::from(prefix)
}

fn fan_prefix(name: &str) -> Option<u16> {
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let fits = name.len() == 4 && name.bytes().all(lower_hex);
    fits.then(|| u16::from_str_radix(name, 16).ok()).flatten()
}

impl Image {
    pub(super) fn empty() -> Image {
        let root = Arc::new(Node::dir(0o755));
        Image { nodes: HashMap::from([(ROOT, root)]), next: ROOT + 1 }
    }

    /// An inode for a new thing. Folders of a chunk store get the inode of their number.
    pub(super) fn new_inode(&mut self, dir: Inode, dir_name: &str, name: &str) -> Inode {
        if dir_name == ".chunks"
            && let Some(prefix) = fan_prefix(name)
        {
            return fan_inode(dir, prefix);
        }
        self.next += 1;
        self.next
    }

    pub(super) fn node(&self, inode: Inode) -> io::Result<Arc<Node>> {
        if let Some(node) = self.nodes.get(&inode) {
            return Ok(Arc::clone(node));
        }
        // A folder of a fan that nothing was put in yet.
        let parent = self.nodes.get(&(inode >> 20)).map(Arc::as_ref);
        match parent {
            Some(Node::Dir(Dir { fan: Some(fan), .. })) => Ok(Arc::new(Node::dir(fan.mode))),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn file(&self, inode: Inode) -> io::Result<FileNode> {
        match &*self.node(inode)? {
            Node::File(file) => Ok(file.clone()),
            Node::Dir(_) => Err(io::Error::from_raw_os_error(libc::EISDIR)),
        }
    }

    pub(super) fn edit_file(&mut self, inode: Inode, edit: impl FnOnce(&mut FileNode)) {
        if let Some(Node::File(file)) = self.nodes.get_mut(&inode).map(Arc::make_mut) {
            edit(file);
        }
    }

    pub(super) fn insert(&mut self, inode: Inode, node: &Node) {
        let is_fan = inode >= 1 << 19;
        if !is_fan {
            self.next = self.next.max(inode);
            self.nodes.insert(inode, Arc::new(node.clone()));
        } else if let Some(parent) = self.nodes.get_mut(&(inode >> 20))
            && let Node::Dir(dir) = Arc::make_mut(parent)
            && dir.fan.is_none()
        {
            let bits = vec![0; FAN_FOLDERS / 64];
            dir.fan = Some(Arc::new(Fan { bits, mode: node.mode() }));
        }
    }

    pub(super) fn lookup(&self, dir: Inode, name: &str) -> io::Result<Option<Inode>> {
        if let Some(node) = self.nodes.get(&dir) {
            return match &**node {
                Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
                Node::Dir(node) => Ok(node.entries.get(name).copied().or_else(|| {
                    let prefix = fan_prefix(name)?;
                    let fan = node.fan.as_ref()?;
                    fan.has(prefix).then(|| fan_inode(dir, prefix))
                })),
            };
        }
        self.node(dir).map(|_| None)
    }

    pub(super) fn apply(&mut self, names: &Names) {
        for (dir_inode, name, target) in names {
            if !self.nodes.contains_key(dir_inode) {
                match self.node(*dir_inode) {
                    Ok(node) => self.nodes.insert(*dir_inode, node),
                    // The folder itself never reached the disk.
                    Err(_) => continue,
                };
            }
            let Some(Node::Dir(dir)) = self.nodes.get_mut(dir_inode).map(Arc::make_mut) else {
                continue;
            };
            let of_fan = fan_prefix(name).filter(|prefix| {
                let inode = fan_inode(*dir_inode, *prefix);
                dir.fan.as_ref().is_some_and(|fan| fan.has(*prefix)) || *target == Some(inode)
            });
            match (of_fan, &mut dir.fan) {
                (Some(prefix), Some(fan)) => Arc::make_mut(fan).set(prefix, target.is_some()),
                _ => match target {
                    Some(inode) => drop(dir.entries.insert(name.clone(), *inode)),
                    None => drop(dir.entries.remove(name)),
                },
            }
        }
    }

    /// Names in a folder with what they stand for. With `sparse`, chunk folders that hold nothing
    /// are left out.
    pub(super) fn list(&self, dir: Inode, sparse: bool) -> io::Result<Vec<(String, Inode)>> {
        let node = self.node(dir)?;
        let Node::Dir(node) = &*node else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        let mut names: Vec<_> = node.entries.iter().map(|(name, id)| (name.clone(), *id)).collect();
        if let Some(fan) = &node.fan {
            let named = |prefix: u16| (format!("{prefix:04x}"), fan_inode(dir, prefix));
            if sparse {
                let first = fan_inode(dir, 0);
                let used = self.nodes.keys().filter_map(|inode| inode.checked_sub(first));
                let used = used.filter_map(|prefix| u16::try_from(prefix).ok());
                names.extend(used.filter(|prefix| fan.has(*prefix)).map(named));
            } else {
                names.extend((0..=u16::MAX).filter(|prefix| fan.has(*prefix)).map(named));
            }
        }
        Ok(names)
    }

    pub(super) fn is_unused_chunk_dir(&self, dir: Inode) -> bool {
        dir >= 1 << 19 && !self.nodes.contains_key(&dir)
    }

    pub(super) fn is_empty_dir(&self, dir: Inode) -> io::Result<bool> {
        Ok(self.list(dir, false)?.is_empty())
    }

    /// Every file with its path below the root, in order.
    pub(super) fn files(&self) -> Vec<(String, Inode)> {
        let mut found = Vec::new();
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, dir)) = open.pop() {
            for (name, inode) in self.list(dir, true).unwrap_or_default() {
                let path = format!("{path}/{name}");
                match self.node(inode).as_deref() {
                    Ok(Node::Dir(_)) => open.push((path, inode)),
                    Ok(Node::File(_)) => found.push((path, inode)),
                    Err(_) => {}
                }
            }
        }
        found.sort();
        found
    }

    /// Every folder but empty chunk folders.
    fn dirs(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, dir)) = open.pop() {
            for (name, inode) in self.list(dir, true).unwrap_or_default() {
                if matches!(self.node(inode).as_deref(), Ok(Node::Dir(_))) {
                    open.push((format!("{path}/{name}"), inode));
                }
            }
            found.push(path);
        }
        found.sort();
        found
    }

    /// A number that equal images share: names and contents, but no times and inodes.
    pub fn fingerprint(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.dirs().hash(&mut hasher);
        for (path, inode) in self.files() {
            path.hash(&mut hasher);
            if let Ok(file) = self.file(inode) {
                file.content.hash(&mut hasher);
            }
        }
        // How many chunk folders there are, in each place that has any.
        for node in self.nodes.values() {
            if let Node::Dir(Dir { fan: Some(fan), .. }) = &**node {
                fan.bits.iter().map(|word| word.count_ones()).sum::<u32>().hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}
