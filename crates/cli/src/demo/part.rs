//! A file, or as much of one as fits into a message.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use crate::tally::sha256_hex;

use super::files::DemoFile;

/// What a part may have, so that it fits into a message of the default limit of 16 MiB with room
/// for everything around it.
pub(super) const PART_BYTES_MAX: u64 = 15 * 1024 * 1024;

/// Files of this many bytes in all are kept in memory, so that sending them again is not held up by
/// reading them again.
const CACHED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What one Digest carries.
pub(super) struct Part {
    pub(super) label: String,
    path: PathBuf,
    offset: u64,
    pub(super) size: u64,
    cached: Option<Arc<Content>>,
}

/// The bytes of a part, and what the other side must find.
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) sha256: String,
}

/// All parts of all files, loaded if there is room.
///
/// # Errors
/// A file cannot be read, in words.
pub(super) fn all_parts(files: &[DemoFile]) -> Result<Vec<Arc<Part>>, String> {
    let cache = files.iter().map(|file| file.size).sum::<u64>() <= CACHED_BYTES_MAX;
    let mut parts: Vec<Part> = files.iter().flat_map(split).collect();
    if cache {
        for part in &mut parts {
            part.cached = Some(Arc::new(part.read()?));
        }
    }
    Ok(parts.into_iter().map(Arc::new).collect())
}

/// An empty file is one part as well.
fn split(file: &DemoFile) -> Vec<Part> {
    let count = file.size.div_ceil(PART_BYTES_MAX).max(1);
    (0..count)
        .map(|number| {
            let offset = number * PART_BYTES_MAX;
            let label = match count {
                1 => file.label.clone(),
                _ => format!("{}, part {} of {count}", file.label, number + 1),
            };
            let size = (file.size - offset).min(PART_BYTES_MAX);
            Part { label, path: file.path.clone(), offset, size, cached: None }
        })
        .collect()
}

impl Part {
    /// # Errors
    /// The file cannot be read any more, in words.
    pub(super) async fn load(self: &Arc<Self>) -> Result<Arc<Content>, String> {
        if let Some(content) = &self.cached {
            return Ok(Arc::clone(content));
        }
        let part = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || part.read());
        let content = read.await.map_err(|error| format!("{}: {error}", self.label))??;
        Ok(Arc::new(content))
    }

    fn read(&self) -> Result<Content, String> {
        let why = |error: std::io::Error| {
            format!("{} cannot be read, or was changed meanwhile: {error}", self.label)
        };
        let size = usize::try_from(self.size).expect("a part fits into memory");
        let mut bytes = vec![0; size];
        let mut file = File::open(&self.path).map_err(why)?;
        file.seek(SeekFrom::Start(self.offset)).map_err(why)?;
        file.read_exact(&mut bytes).map_err(why)?;
        let sha256 = sha256_hex(&bytes);
        Ok(Content { bytes, sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u64) -> DemoFile {
        DemoFile { label: "f".into(), path: "f".into(), size }
    }

    #[test]
    fn parts_are_the_file_without_gap_or_overlap() {
        for size in [0, 1, PART_BYTES_MAX, PART_BYTES_MAX + 1, 3 * PART_BYTES_MAX] {
            let parts = split(&file(size));
            let mut end = 0;
            for part in &parts {
                assert_eq!(part.offset, end);
                assert!(part.size <= PART_BYTES_MAX);
                end += part.size;
            }
            assert_eq!(end, size);
        }
        assert_eq!(split(&file(0)).len(), 1);
        assert_eq!(split(&file(PART_BYTES_MAX)).len(), 1);
        let labels: Vec<String> =
            split(&file(PART_BYTES_MAX + 1)).into_iter().map(|part| part.label).collect();
        assert_eq!(labels, ["f, part 1 of 2", "f, part 2 of 2"]);
    }

    #[test]
    fn a_part_fits_into_a_message_of_the_default_limit() {
        let room = moorline::Settings::default().message_max - PART_BYTES_MAX;
        assert!(room >= 1024 * 1024);
    }

    #[test]
    fn a_file_that_has_shrunk_is_told_from_one_that_agrees() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, b"abc").unwrap();
        let file = DemoFile { label: "f".into(), path, size: 4 };
        let error = all_parts(&[file]).map(|_| ()).unwrap_err();
        assert!(error.contains("changed meanwhile"), "{error}");
    }
}
