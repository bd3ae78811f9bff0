//! What is sent: the files that were named, the sources of a checkout, or data made up.

use std::fs::{self, DirEntry, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Files of a checkout that are sent at most: a large one must not make a demonstration long.
const CHECKOUT_FILES_MAX: usize = 500;

/// Bytes of a checkout that are sent at most.
const CHECKOUT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Larger files of a checkout are data, not sources.
const SOURCE_BYTES_MAX: u64 = 1024 * 1024;

/// Entries of folders that are looked at: a bound on the time it takes to find the sources.
const ENTRIES_MAX: usize = 50_000;

/// Endings of source files.
const SOURCES: &[&str] = &[
    "rs", "toml", "md", "lock", "txt", "sh", "yml", "yaml", "json", "c", "h", "cc", "cpp", "hpp",
    "py", "js", "ts", "go", "java", "kt", "swift", "html", "css",
];

/// Files that are made where there are none to send.
const GENERATED_FILES: u64 = 64;

/// A file to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DemoFile {
    /// As a person would name it.
    pub(crate) label: String,
    /// Absolute.
    pub(crate) path: PathBuf,
    /// In bytes.
    pub(crate) size: u64,
}

/// All files to be sent, and where they come from.
pub(super) struct Files {
    /// In words.
    pub(super) source: String,
    pub(super) files: Vec<DemoFile>,
}

impl Files {
    /// The files that were named; if none was, the sources of the checkout around the current
    /// folder; outside of one, data made up and put into `folder`.
    ///
    /// # Errors
    /// A named file cannot be used, in words.
    pub(super) fn choose(named: &[PathBuf], folder: &Path) -> Result<Self, String> {
        if !named.is_empty() {
            let files = named.iter().map(|path| DemoFile::named(path)).collect::<Result<_, _>>()?;
            return Ok(Self { source: "the files named".into(), files });
        }
        let here =
            std::env::current_dir().map_err(|error| format!("no current folder: {error}"))?;
        if let Some(root) = here.ancestors().find(|folder| is_checkout(folder)) {
            let files = sources(root);
            if !files.is_empty() {
                return Ok(Self { source: format!("the sources in {}", root.display()), files });
            }
        }
        let files = generate(folder).map_err(|error| format!("no data could be made: {error}"))?;
        Ok(Self { source: "data made up, since this is no checkout with sources".into(), files })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

impl DemoFile {
    fn named(path: &Path) -> Result<Self, String> {
        let label = path.display().to_string();
        let cannot = |why: &str| format!("cannot send {label}: {why}");
        // Whether it can be read is found out now, and not in the middle.
        let file = File::open(path).map_err(|error| cannot(&error.to_string()))?;
        let metadata = file.metadata().map_err(|error| cannot(&error.to_string()))?;
        if metadata.is_dir() {
            return Err(cannot("it is a folder; name the files in it"));
        }
        if !metadata.is_file() {
            return Err(cannot("it is no ordinary file, and has no length to be checked"));
        }
        let absolute = std::path::absolute(path).map_err(|error| cannot(&error.to_string()))?;
        if absolute.to_str().is_none() {
            return Err(cannot("its path is no UTF-8, which it must be here"));
        }
        Ok(Self { label, path: absolute, size: metadata.len() })
    }
}

/// Whether a folder is the root of a git checkout or of a Cargo workspace.
fn is_checkout(folder: &Path) -> bool {
    folder.join(".git").exists()
        || fs::read_to_string(folder.join("Cargo.toml"))
            .is_ok_and(|manifest| manifest.lines().any(|line| line.trim() == "[workspace]"))
}

/// Source files below `root` in the order of their names, as many as the limits allow.
fn sources(root: &Path) -> Vec<DemoFile> {
    let mut files = Vec::new();
    let (mut bytes, mut seen) = (0, 0);
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<DirEntry> =
            fs::read_dir(&folder).into_iter().flatten().flatten().collect();
        seen += entries.len();
        if seen > ENTRIES_MAX {
            break;
        }
        entries.sort_by_key(DirEntry::file_name);
        let mut inner = Vec::new();
        for entry in entries {
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() && holds_sources(&path) {
                inner.push(path);
            } else if kind.is_file()
                && let Some(file) = source(root, path)
            {
                if files.len() == CHECKOUT_FILES_MAX || bytes + file.size > CHECKOUT_BYTES_MAX {
                    return files;
                }
                bytes += file.size;
                files.push(file);
            }
        }
        folders.extend(inner.into_iter().rev());
    }
    files
}

/// Not what is hidden, and not what was built or fetched.
fn holds_sources(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or(".");
    !name.starts_with('.')
        && !["target", "node_modules"].contains(&name)
        && !folder.join("CACHEDIR.TAG").exists()
}

fn source(root: &Path, path: PathBuf) -> Option<DemoFile> {
    let ending = path.extension()?.to_str()?;
    let label = path.strip_prefix(root).ok()?.to_str()?.to_owned();
    path.to_str()?;
    let size = fs::metadata(&path).ok()?.len();
    let hidden = label.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
    let taken = SOURCES.contains(&ending) && !hidden && size <= SOURCE_BYTES_MAX;
    taken.then_some(DemoFile { label, path, size })
}

/// Files of many sizes, up to 256 KiB, with bytes that do not repeat.
fn generate(folder: &Path) -> io::Result<Vec<DemoFile>> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        // Xorshift: the same bytes each time, and no pattern in them.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..GENERATED_FILES)
        .map(|number| {
            let label = format!("generated-{number:02}");
            let path = folder.join(&label);
            let words = (number * number * 8) + 1;
            let mut file = BufWriter::new(File::create(&path)?);
            for _ in 0..words {
                file.write_all(&next().to_le_bytes())?;
            }
            file.flush()?;
            Ok(DemoFile { label, path, size: words * 8 })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_a_checkout_are_found_in_order_without_what_was_built_or_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str, bytes: usize| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![b'x'; bytes]).unwrap();
        };
        for path in ["b/two.rs", "a.md", "b/.hidden.rs", ".git/config.toml", "target/x.rs"] {
            put(path, 3);
        }
        put("cache/CACHEDIR.TAG", 0);
        put("cache/x.rs", 3);
        put("server.key", 3);
        put("b/large.json", 2 * 1024 * 1024);
        assert!(is_checkout(folder.path()));
        let found = sources(folder.path());
        let labels: Vec<&str> = found.iter().map(|file| file.label.as_str()).collect();
        assert_eq!(labels, ["a.md", "b/two.rs"]);
        assert_eq!(found[0].size, 3);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let refused = DemoFile::named(folder.path()).unwrap_err();
        assert!(refused.contains("folder"), "{refused}");
        let missing = folder.path().join("missing.bin");
        let refused = DemoFile::named(&missing).unwrap_err();
        assert!(refused.contains("missing.bin"), "{refused}");
    }

    #[test]
    fn made_up_data_is_the_same_each_time_and_as_long_as_it_says() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (first, second) = (generate(one.path()).unwrap(), generate(two.path()).unwrap());
        for (a, b) in first.iter().zip(&second) {
            let bytes = fs::read(&a.path).unwrap();
            assert_eq!(bytes.len() as u64, a.size);
            assert_eq!(bytes, fs::read(&b.path).unwrap());
        }
    }
}
