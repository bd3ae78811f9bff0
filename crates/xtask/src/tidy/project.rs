//! What the checks look at: the files git knows of and the packages cargo knows of, read once.

use std::path::Path;
use std::process::Command;

use cargo_metadata::{Metadata, MetadataCommand, Package};

use super::source::Source;

/// The project as the checks see it.
pub(super) struct Project {
    /// Text files, tracked or new but not ignored, in the order of their paths.
    pub(super) files: Vec<File>,
    /// Packages and their resolved dependencies.
    pub(super) metadata: Metadata,
}

/// One text file.
pub(super) struct File {
    /// Relative to the root of the workspace, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// Read as Rust, where it is.
    pub(super) rust: Option<Source>,
    /// Whether it is test code as a whole, by its place or by who declares it.
    pub(super) test: bool,
}

impl Project {
    pub(super) fn load() -> Result<Self, String> {
        let metadata = MetadataCommand::new()
            .other_options(vec!["--locked".to_owned()])
            .exec()
            .map_err(|e| format!("cargo metadata: {e}"))?;
        let root = metadata.workspace_root.as_std_path();
        let mut files: Vec<File> =
            list(root)?.iter().filter_map(|path| File::read(root, path)).collect();
        mark_test_modules(&mut files);
        Ok(Self { files, metadata })
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Our packages, in the order of the workspace.
    pub(super) fn members(&self) -> Vec<&Package> {
        self.metadata.workspace_packages()
    }

    /// A path that cargo tells, relative to the root of the workspace.
    pub(super) fn relative(&self, path: &cargo_metadata::camino::Utf8Path) -> String {
        path.strip_prefix(&self.metadata.workspace_root).unwrap_or(path).as_str().replace('\\', "/")
    }

    /// The folder of a package, relative to the root of the workspace.
    pub(super) fn folder(&self, package: &Package) -> String {
        let folder = package.manifest_path.parent().unwrap_or(&package.manifest_path);
        self.relative(folder)
    }

    /// Rust files below a folder that are not test code as a whole.
    pub(super) fn shipped_rust(&self, folder: &str) -> impl Iterator<Item = (&File, &Source)> {
        let prefix = format!("{folder}/src/");
        let inside = self.files.iter().filter(move |f| f.path.starts_with(&prefix) && !f.test);
        inside.filter_map(|file| Some((file, file.rust.as_ref()?)))
    }
}

fn list(root: &Path) -> Result<Vec<String>, String> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()
        .map_err(|e| format!("git ls-files: {e}; the checks need git and a checkout"))?;
    if !output.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    let mut paths: Vec<String> =
        names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}

impl File {
    /// None for what is gone from the disk or is no text.
    fn read(root: &Path, path: &str) -> Option<Self> {
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        Some(Self::from_text(path, text))
    }

    pub(super) fn from_text(path: &str, text: impl Into<String>) -> Self {
        let text = text.into();
        let rust = path.ends_with(".rs").then(|| Source::parse(&text));
        Self { path: path.to_owned(), text, rust, test: is_test_path(path) }
    }
}

fn is_test_path(path: &str) -> bool {
    let mut parts = path.split('/');
    let name = parts.next_back().unwrap_or(path);
    name == "tests.rs" || parts.any(|part| part == "tests" || part == "benches" || part == "fuzz")
}

/// `#[cfg(test)] mod dialogue;` makes `dialogue.rs` and everything below `dialogue/` test code.
pub(super) fn mark_test_modules(files: &mut [File]) {
    let mut marked = Vec::new();
    for file in files.iter() {
        let Some(source) = &file.rust else { continue };
        let folder = module_folder(&file.path);
        for module in &source.test_modules {
            marked.push(format!("{folder}{module}.rs"));
            marked.push(format!("{folder}{module}/"));
        }
    }
    for file in files {
        let below = |mark: &String| mark.ends_with('/') && file.path.starts_with(mark.as_str());
        file.test |= marked.iter().any(|mark| *mark == file.path || below(mark));
    }
}

/// The folder in which the modules declared by a file live, with its final `/`.
fn module_folder(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "lib.rs" | "main.rs" | "mod.rs" => format!("{folder}/"),
        _ => format!("{folder}/{}/", name.trim_end_matches(".rs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_declared_for_tests_is_test_code() {
        let declaring = "mod real;\n#[cfg(test)]\nmod dialogue;\n";
        let mut files = vec![
            File::from_text("crates/a/src/lib.rs", declaring),
            File::from_text("crates/a/src/real.rs", ""),
            File::from_text("crates/a/src/dialogue.rs", ""),
            File::from_text("crates/a/src/dialogue/first.rs", ""),
        ];
        mark_test_modules(&mut files);
        let test: Vec<bool> = files.iter().map(|f| f.test).collect();
        assert_eq!(test, [false, false, true, true]);
    }

    #[test]
    fn integration_tests_are_test_code() {
        assert!(is_test_path("crates/a/tests/wire.rs"));
        assert!(is_test_path("crates/a/src/frame/tests.rs"));
        assert!(!is_test_path("crates/a/src/tests_of_time.rs"));
    }

    #[test]
    fn submodules_live_in_the_folder_of_their_parent() {
        assert_eq!(module_folder("crates/a/src/lib.rs"), "crates/a/src/");
        assert_eq!(module_folder("crates/a/src/frame.rs"), "crates/a/src/frame/");
    }
}
