//! Names that somebody may have meant.

/// How many similar names are told.
pub const SIMILAR: usize = 5;

/// The nearest of what there is, as `NAMESPACE/NAME`. Another namespace makes them less near.
pub fn near<'a>(known: impl Iterator<Item = (&'a str, &'a str)>, namespace: &str, name: &str) -> Vec<String> {
    let mut near: Vec<(usize, String)> = known
        .map(|(of, known)| {
            (distance(known, name) + 3 * usize::from(of != namespace), format!("{of}/{known}"))
        })
        .filter(|(distance, _)| *distance <= 1 + name.len() / 2)
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().take(SIMILAR).map(|(_, name)| name).collect()
}

/// The nearest of names without a namespace.
pub fn near_names<'a>(known: impl Iterator<Item = &'a str>, name: &str) -> Vec<String> {
    let mut near: Vec<(usize, &str)> = known
        .map(|known| (distance(known, name), known))
        .filter(|(distance, _)| *distance <= 1 + name.len() / 2)
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(SIMILAR).map(|(_, name)| name.to_owned()).collect()
}

/// How many letters are to be changed, added or left out.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, a) in one.chars().enumerate() {
        let mut before = line;
        let mut last = line + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&other) {
            let above = *cell;
            last = (before + usize::from(a != *b)).min(above + 1).min(last + 1);
            before = above;
            *cell = last;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
