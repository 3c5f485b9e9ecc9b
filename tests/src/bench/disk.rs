//! Where the books of a benchmark are kept.

use std::path::{Path, PathBuf};

use lcm_daemon::lab::LabError;
use nix::sys::statfs::{self, FsType, statfs};

/// A directory on the disk that the program lies on: what builds a daemon has room for its books.
pub(super) fn beside_program() -> PathBuf {
    let program = std::env::current_exe().ok();
    let directory = program.as_deref().and_then(Path::parent).map(Path::to_owned);
    directory.unwrap_or_else(std::env::temp_dir)
}

/// The file system that a directory lies on.
///
/// # Errors
/// If it cannot be asked.
pub(super) fn name(directory: &Path) -> Result<String, LabError> {
    let kind = statfs(directory).map_err(|error| {
        LabError::caused(format!("asking for the disk of {}", directory.display()), error)
    })?;
    Ok(named(kind.filesystem_type()))
}

fn named(kind: FsType) -> String {
    let known = [
        (statfs::EXT4_SUPER_MAGIC, "ext4"),
        (statfs::XFS_SUPER_MAGIC, "xfs"),
        (statfs::BTRFS_SUPER_MAGIC, "btrfs"),
        (statfs::OVERLAYFS_SUPER_MAGIC, "overlay"),
        (statfs::TMPFS_MAGIC, "memory (tmpfs), where nothing waits for a disk: give --books DIR"),
    ];
    let name = known.into_iter().find(|(magic, _)| *magic == kind);
    name.map_or_else(|| format!("a file system of type {:#x}", kind.0), |(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_not_taken_for_a_disk() {
        assert!(named(statfs::TMPFS_MAGIC).contains("--books"));
        assert_eq!(named(statfs::EXT4_SUPER_MAGIC), "ext4");
        assert_eq!(named(FsType(0x1234)), "a file system of type 0x1234");
    }
}
