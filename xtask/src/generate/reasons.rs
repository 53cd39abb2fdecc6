//! The pages of the reason codes. Each shows what is printed of a scenario that the tests judge.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use peerwalk_diagnosis::scenario::Scenario;
use peerwalk_diagnosis::{Example, WITHOUT_WALK, judge, reason_markdown};
use peerwalk_model::Reason;

use super::Generated;
use crate::tree;

const SCENARIOS: &str = "crates/diagnosis/tests/scenarios";
const PAGES: &str = "docs/reasons";

/// A scenario with its place, as `CODE/name.yaml`.
type Placed = (String, Scenario);

/// The page of every code, and pages of codes that are no more, which have no text.
pub(super) fn pages() -> Result<Vec<Generated>> {
    let scenarios = scenarios(&tree::root().join(SCENARIOS))?;
    let mut pages = Vec::new();
    for reason in Reason::ALL {
        let example = example(*reason, &scenarios)?;
        let path = format!("{PAGES}/{reason}.md");
        pages.push(Generated { path, text: Some(reason_markdown(*reason, example.as_ref())) });
    }
    let wanted: BTreeSet<&str> = pages.iter().map(|page| page.path.as_str()).collect();
    let left = names(&tree::root().join(PAGES)).unwrap_or_default();
    let left = left.iter().map(|name| format!("{PAGES}/{name}"));
    let left: Vec<_> = left.filter(|path| !wanted.contains(path.as_str())).collect();
    pages.extend(left.into_iter().map(|path| Generated { path, text: None }));
    Ok(pages)
}

/// Every scenario there is, by its place.
fn scenarios(root: &Path) -> Result<Vec<Placed>> {
    let mut found = Vec::new();
    for folder in names(root)?.iter().filter(|folder| root.join(folder).is_dir()) {
        for file in names(&root.join(folder))?.iter().filter(|file| file.strip_suffix(".yaml").is_some()) {
            let place = format!("{folder}/{file}");
            let read = || Ok(Scenario::read(&fs::read_to_string(root.join(&place))?)?);
            let scenario: Result<_> = read();
            found.push((place.clone(), scenario.with_context(|| format!("{place} is no scenario"))?));
        }
    }
    Ok(found)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let name = |entry: std::io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    let mut names = entries.map(name).collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// The walk that the page of a code shows: of a scenario that says `example: true`, else of the first in the code's
/// folder, else of the first anywhere.
fn example(reason: Reason, scenarios: &[Placed]) -> Result<Option<Example>> {
    let of_code = scenarios.iter().filter(|(_, scenario)| scenario.shows() == Some(reason));
    let folder = format!("{reason}/");
    let first =
        of_code.min_by_key(|(place, scenario)| (!scenario.example, !place.starts_with(&folder), place));
    let Some((place, scenario)) = first else {
        if WITHOUT_WALK.contains(&reason) {
            return Ok(None);
        }
        bail!(
            "{reason} has no scenario: write one to {SCENARIOS}/{reason}/, its verdict with reason: {reason}"
        );
    };
    let situation = scenario.clone().situation();
    let verdict = judge(&situation.case());
    if verdict.reason != scenario.verdict.reason || verdict.observed != scenario.verdict.observed {
        bail!("{place} is not judged as it says, so that its walk cannot be shown: correct the scenario");
    }
    let walk = situation.explained(&verdict);
    Ok(Some(Example { about: scenario.about.clone(), walk }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT: &str = "about: ABOUT
example: EXAMPLE
target: { url: { allowed: true } }
walk: { dials: [address 198.51.100.10:443 silent 8 again] }
verdict: { observed: OBSERVED, reason: ConnectTimeout, stage: Connect, confidence: likely, outcome: Unknown }
";

    fn silent(place: &str, example: bool, observed: &str) -> Placed {
        let text = SILENT.replace("ABOUT", place).replace("EXAMPLE", &example.to_string());
        (place.to_owned(), Scenario::read(&text.replace("OBSERVED", observed)).unwrap())
    }

    #[test]
    fn the_example_is_the_one_that_says_so_or_the_first() {
        let here = |example| silent("ConnectTimeout/b.yaml", example, "Unreachable");
        let elsewhere = || silent("Another/a.yaml", false, "Unreachable");
        let later = |example| silent("ConnectTimeout/c.yaml", example, "Unreachable");
        for (scenarios, about) in [
            (vec![elsewhere(), here(false), later(false)], "ConnectTimeout/b.yaml"),
            (vec![elsewhere(), here(false), later(true)], "ConnectTimeout/c.yaml"),
            (vec![elsewhere()], "Another/a.yaml"),
        ] {
            let example = example(Reason::ConnectTimeout, &scenarios).unwrap().unwrap();
            assert_eq!(example.about, about);
            assert!(
                example.walk.starts_with("shop/web → tcp://198.51.100.10:443   ConnectTimeout (likely)\n")
            );
        }
    }

    #[test]
    fn a_code_without_a_true_scenario_has_no_page() {
        let error = example(Reason::ConnectTimeout, &[]).unwrap_err().to_string();
        assert!(error.contains("tests/scenarios/ConnectTimeout/"), "{error}");
        let wrong = silent("ConnectTimeout/a.yaml", false, "Denied");
        assert!(example(Reason::ConnectTimeout, &[wrong]).is_err(), "it is not judged so");
        for reason in WITHOUT_WALK {
            assert_eq!(example(reason, &[]).unwrap(), None, "{reason} needs none");
        }
    }
}
