//! Who may depend on whom: our own edges one by one, runtimes and sockets through everything.
//!
//! Dev-dependencies may cross layers, since a test looks from outside; only runtimes stay out of
//! the lower layers there too.

use std::collections::{BTreeMap, VecDeque};

use cargo_metadata::{DependencyKind, Package, PackageId};

use super::layers::{Layer, layer_of};
use super::project::Project;
use super::{Finding, Report};

/// Packages that bring a runtime or sockets.
const RUNTIMES: &[&str] = &["tokio", "mio", "socket2", "async-io", "async-std", "polling", "smol"];

pub(super) fn look(project: &Project) -> Report {
    let members = project.members();
    let mut findings = Vec::new();
    for package in &members {
        let manifest = project.relative(&package.manifest_path);
        let Some(layer) = layer_of(&package.name, &project.folder(package)) else {
            let advice = "no layer: give this package a line in crates/xtask/src/tidy/layers.rs";
            findings.push(Finding::new(&manifest, 1, advice));
            continue;
        };
        let text = project.file(&manifest).map_or("", |file| file.text.as_str());
        let declared: Vec<Declared<'_>> = package.dependencies.iter().map(Declared::from).collect();
        let is_ours = |name: &str| members.iter().any(|member| member.name.as_str() == name);
        for (dependency, advice) in forbidden(layer, &declared, is_ours) {
            findings.push(Finding::new(&manifest, line_naming(text, dependency), advice));
        }
        if layer.below_service {
            findings.extend(hidden_runtime(project, package).map(|chain| {
                let advice = format!("{chain}: a runtime below `service`; drop what brings it");
                Finding::new(&manifest, 1, advice)
            }));
        }
    }
    Report { summary: format!("{} packages, each sees what it may", members.len()), findings }
}

struct Declared<'a> {
    name: &'a str,
    dev: bool,
}

impl<'a> From<&'a cargo_metadata::Dependency> for Declared<'a> {
    fn from(dependency: &'a cargo_metadata::Dependency) -> Self {
        Self { name: &dependency.name, dev: dependency.kind == DependencyKind::Development }
    }
}

fn forbidden<'a>(
    layer: &Layer,
    declared: &[Declared<'a>],
    is_ours: impl Fn(&str) -> bool,
) -> Vec<(&'a str, String)> {
    let mut found = Vec::new();
    for dependency in declared {
        let name = dependency.name;
        if layer.below_service && RUNTIMES.contains(&name) {
            let advice = format!("`{}` may not use `{name}`: move the need to `service`", layer.of);
            found.push((name, advice));
        } else if !dependency.dev && is_ours(name) && !layer.sees.contains(&name) {
            let sees =
                if layer.sees.is_empty() { "none".to_owned() } else { layer.sees.join(", ") };
            let advice = format!("`{}` may not see `{name}`; of ours it sees: {sees}", layer.of);
            found.push((name, advice));
        }
    }
    found
}

fn line_naming(manifest: &str, dependency: &str) -> usize {
    let names = |line: &str| {
        let rest = line.trim_start().strip_prefix(dependency);
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    manifest.lines().position(names).map_or(1, |i| i + 1)
}

/// The way from a package to a runtime that somebody else brings, if there is one.
fn hidden_runtime(project: &Project, package: &Package) -> Option<String> {
    let resolve = project.metadata.resolve.as_ref()?;
    let mut came_from: BTreeMap<&PackageId, &PackageId> = BTreeMap::new();
    let mut open = VecDeque::from([&package.id]);
    while let Some(id) = open.pop_front() {
        let node = resolve.nodes.iter().find(|node| node.id == *id)?;
        for edge in &node.deps {
            let dev = edge.dep_kinds.iter().all(|k| k.kind == DependencyKind::Development);
            if dev || edge.pkg == package.id || came_from.contains_key(&edge.pkg) {
                continue;
            }
            came_from.insert(&edge.pkg, id);
            let direct = *id == package.id;
            if !direct && RUNTIMES.contains(&project.metadata[&edge.pkg].name.as_str()) {
                return Some(chain(project, &came_from, &edge.pkg));
            }
            open.push_back(&edge.pkg);
        }
    }
    None
}

fn chain(
    project: &Project,
    came_from: &BTreeMap<&PackageId, &PackageId>,
    end: &PackageId,
) -> String {
    let mut names = vec![project.metadata[end].name.as_str()];
    let mut at = end;
    while let Some(before) = came_from.get(at) {
        names.push(project.metadata[*before].name.as_str());
        at = before;
    }
    names.reverse();
    names.join(" -> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice_for(package: &str, dependency: &str, dev: bool) -> Vec<String> {
        let layer = layer_of(package, "").expect("the test names a package with a layer");
        let ours = |name: &str| name.starts_with("moorline");
        let declared = [Declared { name: dependency, dev }];
        forbidden(layer, &declared, ours).into_iter().map(|(_, advice)| advice).collect()
    }

    #[test]
    fn edges_go_down_only() {
        assert!(advice_for("moorline-session", "moorline-protocol", false).is_empty());
        assert_eq!(advice_for("moorline-protocol", "moorline-session", false).len(), 1);
        assert_eq!(advice_for("moorline-session", "moorline-noise", false).len(), 1);
        assert_eq!(advice_for("moorline-cli", "moorline-buffers", false).len(), 1);
    }

    #[test]
    fn third_parties_are_free_but_runtimes() {
        assert!(advice_for("moorline-buffers", "crossbeam", false).is_empty());
        assert!(advice_for("moorline-service", "tokio", false).is_empty());
        assert_eq!(advice_for("moorline-session", "tokio", false).len(), 1);
    }

    #[test]
    fn tests_may_cross_layers_but_not_run_a_runtime() {
        assert!(advice_for("moorline-session", "moorline-noise", true).is_empty());
        assert_eq!(advice_for("moorline-session", "tokio", true).len(), 1);
    }

    #[test]
    fn the_line_of_a_dependency_is_found() {
        let manifest = "[dependencies]\nmoorline-buffers.workspace = true\nmoorline = 1\n";
        assert_eq!(line_naming(manifest, "moorline"), 3);
        assert_eq!(line_naming(manifest, "moorline-buffers"), 2);
    }
}
