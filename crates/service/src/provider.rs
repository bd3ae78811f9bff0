//! Whose cryptographic primitives a service uses that names none.

use moorline_noise::Provider;
use moorline_protocol::inventory;

use crate::error::{Error, Result};

/// What [`offer_provider!`](crate::offer_provider) collects.
#[doc(hidden)]
pub struct ProviderOffer {
    /// Makes the provider.
    pub make: fn() -> Provider,
}

inventory::collect!(ProviderOffer);

/// Makes a provider the one of every service of the process that does not choose its own by
/// [`ServiceBuilder::provider`](crate::ServiceBuilder::provider).
///
/// The argument is a path to a function without arguments: `offer_provider!(my_crate::provider)`. Two
/// offers are a mistake of which `build` tells.
#[macro_export]
macro_rules! offer_provider {
    ($make:path) => {
        $crate::inventory::submit! {
            $crate::ProviderOffer { make: $make }
        }
    };
}

/// The one that is offered, else pure Rust.
pub(crate) fn offered() -> Result<Provider> {
    choose(inventory::iter::<ProviderOffer>.into_iter().map(|offer| (offer.make)()))
}

fn choose(mut offers: impl Iterator<Item = Provider>) -> Result<Provider> {
    match (offers.next(), offers.next()) {
        (None, _) => Ok(Provider::pure()),
        (Some(only), None) => Ok(only),
        (Some(one), Some(two)) => {
            // The order of registration is the linker's, which nobody should see.
            let (one, two) = (one.name.min(two.name), one.name.max(two.name));
            Err(Error::Providers(one, two))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &'static str) -> Provider {
        Provider { name, ..Provider::pure() }
    }

    #[test]
    fn one_offer_is_taken_and_two_are_a_mistake() {
        let chosen = |names: &[&'static str]| {
            choose(names.iter().map(|name| named(name))).map(|provider| provider.name)
        };
        assert_eq!(chosen(&[]).unwrap(), "pure");
        assert_eq!(chosen(&["fast"]).unwrap(), "fast");
        for names in [["fast", "safe"], ["safe", "fast"]] {
            let error = chosen(&names).unwrap_err().to_string();
            assert!(error.starts_with("the providers fast and safe are both offered"), "{error}");
        }
    }
}
