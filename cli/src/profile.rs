//! `--profile`: whose reading of what the API leaves open.

use clap::builder::{PossibleValuesParser, TypedValueParser as _, ValueParser};
use peerwalk_netpol::Profile;

/// Takes the name of a profile.
pub fn parser() -> ValueParser {
    let names = Profile::ALL.iter().map(|profile| profile.name);
    // No other name gets through.
    PossibleValuesParser::new(names).map(|name| Profile::by_name(&name).unwrap_or_default()).into()
}
