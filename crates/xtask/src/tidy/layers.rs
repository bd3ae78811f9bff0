//! The layers of the project, from the bottom up, and what each may see.

/// One of our packages, or a folder of packages that share a rule.
pub(super) struct Layer {
    /// Package name; a name ending in `/` means every package whose folder starts with it.
    pub(super) of: &'static str,
    /// Packages of ours that it may depend on.
    pub(super) sees: &'static [&'static str],
    /// Whether it stands below `service`: no clock, no runtime, no socket, no file.
    pub(super) below_service: bool,
}

/// A new package needs a line here, which is the moment to ask where it belongs.
pub(super) const LAYERS: &[Layer] = &[
    Layer { of: "moorline-buffers", sees: &[], below_service: true },
    Layer { of: "moorline-noise", sees: &[], below_service: true },
    Layer { of: "moorline-noise-aws-lc", sees: &["moorline-noise"], below_service: true },
    Layer {
        of: "moorline-protocol",
        sees: &["moorline-buffers", "moorline-noise"],
        below_service: true,
    },
    // Beside `msgpack`, which is part of `protocol`: sessions know neither.
    Layer {
        of: "moorline-gofast",
        sees: &["moorline-buffers", "moorline-noise", "moorline-protocol"],
        below_service: true,
    },
    Layer {
        of: "moorline-session",
        sees: &["moorline-buffers", "moorline-protocol"],
        below_service: true,
    },
    // Nobody sees it: a test kit is a dev-dependency.
    Layer {
        of: "moorline-sim",
        sees: &["moorline-buffers", "moorline-noise", "moorline-protocol", "moorline-session"],
        below_service: true,
    },
    Layer {
        of: "moorline-service",
        sees: &["moorline-buffers", "moorline-noise", "moorline-protocol", "moorline-session"],
        below_service: false,
    },
    // Beside the service: files, of which a service knows nothing.
    Layer { of: "moorline-config", sees: &["moorline-service"], below_service: false },
    Layer {
        of: "moorline",
        sees: &[
            "moorline-buffers",
            "moorline-noise",
            "moorline-noise-aws-lc",
            "moorline-protocol",
            "moorline-gofast",
            "moorline-session",
            "moorline-service",
            "moorline-config",
        ],
        below_service: false,
    },
    Layer { of: "moorline-cli", sees: &["moorline"], below_service: false },
    // Samples about one layer by itself.
    Layer {
        of: "encryption",
        sees: &["moorline-noise", "moorline-noise-aws-lc"],
        below_service: false,
    },
    Layer { of: "buffers-only", sees: &["moorline-buffers"], below_service: false },
    Layer { of: "samples/", sees: &["moorline"], below_service: false },
    Layer {
        of: "moorline-benches",
        sees: &[
            "moorline-buffers",
            "moorline-noise",
            "moorline-noise-aws-lc",
            "moorline-protocol",
            "moorline-session",
            "moorline-service",
            "moorline",
        ],
        below_service: false,
    },
    Layer { of: "xtask", sees: &[], below_service: false },
];

/// The layer of a package, by its name or else by the folder it lives in.
pub(super) fn layer_of(package: &str, folder: &str) -> Option<&'static Layer> {
    let by_name = LAYERS.iter().find(|layer| layer.of == package);
    by_name.or_else(|| LAYERS.iter().find(|l| l.of.ends_with('/') && folder.starts_with(l.of)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_sees_only_what_stands_before_it() {
        for (i, layer) in LAYERS.iter().enumerate() {
            for seen in layer.sees {
                assert!(
                    LAYERS[..i].iter().any(|lower| lower.of == *seen),
                    "{} -> {seen}",
                    layer.of
                );
            }
        }
    }

    #[test]
    fn the_test_kit_is_shipped_with_nothing() {
        assert!(LAYERS.iter().all(|layer| !layer.sees.contains(&"moorline-sim")));
    }

    #[test]
    fn samples_are_known_by_their_folder() {
        assert_eq!(layer_of("hello", "samples/hello").map(|l| l.of), Some("samples/"));
        assert!(layer_of("stranger", "crates/stranger").is_none());
    }
}
