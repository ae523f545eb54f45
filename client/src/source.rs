//! What is backed up: `NAME.EXTENSION:PATH`, as the command line gives it.

use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use datastore::hierarchy::{
    CATALOG_NAME, CLIENT_LOG_NAME, ENCRYPTED_KEY_NAME, MANIFEST_NAME, stored_name,
};

use crate::error::{Error, Result};

/// What an archive's extension makes of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// `.pxar`: a folder with everything in it.
    Folder,
    /// `.img`: a disk image or block device.
    Image,
    /// `.conf`, `.json`, `.log`, `.key`: a small file.
    SmallFile,
}

/// One archive to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What it is made of.
    pub kind: SourceKind,
    /// Name under which it is stored.
    pub filename: String,
    /// Where it is read from.
    pub path: PathBuf,
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Source> {
        let bad = |reason: &str| Error::refused(format!("'{text}': {reason}"));
        let (name, path) = text
            .split_once(':')
            .filter(|(name, path)| !name.is_empty() && !path.is_empty())
            .ok_or_else(|| bad("a source has the form NAME.EXTENSION:PATH, e.g. root.pxar:/"))?;
        let kind = match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("pxar") => SourceKind::Folder,
            Some("img") => SourceKind::Image,
            Some("conf" | "json" | "log" | "key") => SourceKind::SmallFile,
            _ => {
                return Err(bad(
                    "the extension tells what it is: .pxar for a folder, .img for a disk image, \
                     .conf, .json, .log or .key for a small file",
                ));
            }
        };
        let filename = stored_name(name)?;
        if [CATALOG_NAME, MANIFEST_NAME, CLIENT_LOG_NAME, ENCRYPTED_KEY_NAME]
            .contains(&filename.as_str())
        {
            return Err(bad("this name is reserved"));
        }
        Ok(Source { kind, filename, path: path.into() })
    }
}

impl Source {
    /// Fails if the source is not there, cannot be read or is of the wrong kind. Asked before a
    /// backup begins, so that a typing error leaves no trace.
    pub fn check(&self) -> Result<()> {
        let meta = fs::metadata(&self.path).map_err(|e| Error::io("read", &self.path, e))?;
        let kind = meta.file_type();
        let wrong = |wanted: &str| {
            Err(Error::refused(format!(
                "{} is not {wanted}, which {} is made of",
                self.path.display(),
                self.filename
            )))
        };
        match self.kind {
            SourceKind::Folder if !kind.is_dir() => return wrong("a folder"),
            SourceKind::Image if !kind.is_file() && !kind.is_block_device() => {
                return wrong("a file or block device");
            }
            SourceKind::SmallFile if !kind.is_file() => return wrong("a regular file"),
            SourceKind::Folder => {
                fs::read_dir(&self.path).map_err(|e| Error::io("read", &self.path, e))?;
            }
            SourceKind::Image | SourceKind::SmallFile => {
                File::open(&self.path).map_err(|e| Error::io("read", &self.path, e))?;
            }
        }
        Ok(())
    }
}

/// Fails if two archives would have one name.
pub fn check_names(sources: &[Source]) -> Result<()> {
    if sources.is_empty() {
        return Err(Error::refused("nothing to back up: name at least one source"));
    }
    for (position, source) in sources.iter().enumerate() {
        if sources.iter().take(position).any(|other| other.filename == source.filename) {
            return Err(Error::refused(format!(
                "two sources are named {}; give each its own name",
                source.filename
            )));
        }
    }
    Ok(())
}

/// Length of an image in bytes: of a file as it is, of a block device by asking for its end.
pub fn image_size(file: &mut File, path: &Path) -> Result<u64> {
    use std::io::{Seek, SeekFrom};
    let mut ask = || {
        let size = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        Ok(size)
    };
    ask().map_err(|e| Error::io("find the size of", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_parsed() {
        let source: Source = "root.pxar:/srv/a:b".parse().unwrap();
        assert_eq!(source.kind, SourceKind::Folder);
        assert_eq!(source.filename, "root.pxar.didx");
        assert_eq!(source.path, Path::new("/srv/a:b"));
        assert_eq!("d.img:x".parse::<Source>().unwrap().kind, SourceKind::Image);
        assert_eq!("a.conf:x".parse::<Source>().unwrap().filename, "a.conf.blob");
        for bad in [
            "",
            ":",
            "root.pxar",
            "root.pxar:",
            ":/x",
            "root:/x",
            "root.tar:/x",
            "a/b.pxar:/x",
            "index.json:/x",
            "client.log:/x",
            "rsa-encrypted.key:/x",
            ".pxar:/x",
        ] {
            assert!(bad.parse::<Source>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_source_of_the_wrong_kind_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let check = |name: &str, path: &Path| {
            format!("{name}:{}", path.display()).parse::<Source>().unwrap().check()
        };
        check("a.pxar", dir.path()).unwrap();
        check("a.img", &file).unwrap();
        check("a.conf", &file).unwrap();
        assert!(check("a.pxar", &file).is_err());
        assert!(check("a.img", dir.path()).is_err());
        assert!(check("a.conf", dir.path()).is_err());
        assert!(check("a.pxar", &dir.path().join("missing")).unwrap_err().is_missing());
    }

    #[test]
    fn names_occur_once() {
        let sources: Vec<Source> =
            ["a.pxar:/x", "b.pxar:/x", "a.pxar:/y"].iter().map(|s| s.parse().unwrap()).collect();
        check_names(&sources[..2]).unwrap();
        assert!(check_names(&sources).is_err());
        assert!(check_names(&[]).is_err());
    }
}
