//! Sorted lists of disjoint intervals, the form of every set here: of ports, of ends, of addresses.

/// An interval, both ends included.
pub(crate) type Span<T> = (T, T);

/// Something that can be counted through.
pub(crate) trait Coordinate: Copy + Ord {
    const FIRST: Self;
    const LAST: Self;
    fn next(self) -> Option<Self>;
    fn previous(self) -> Option<Self>;
}

impl Coordinate for u32 {
    const FIRST: Self = Self::MIN;
    const LAST: Self = Self::MAX;

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

impl Coordinate for u128 {
    const FIRST: Self = Self::MIN;
    const LAST: Self = Self::MAX;

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

/// The same set with its intervals sorted, and merged where they meet.
pub(crate) fn normal<T: Coordinate>(mut spans: Vec<Span<T>>) -> Vec<Span<T>> {
    if spans.is_sorted_by(|before, after| before.1.next().is_some_and(|next| next < after.0)) {
        return spans;
    }
    spans.sort_unstable();
    let mut merged: Vec<Span<T>> = Vec::with_capacity(spans.len());
    for (first, last) in spans {
        match merged.last_mut() {
            Some(open) if open.1.next().is_none_or(|next| first <= next) => open.1 = open.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// The set of single values.
pub(crate) fn of_values<T: Coordinate>(values: impl IntoIterator<Item = T>) -> Vec<Span<T>> {
    normal(values.into_iter().map(|value| (value, value)).collect())
}

pub(crate) fn contains<T: Coordinate>(spans: &[Span<T>], value: T) -> bool {
    let after = spans.partition_point(|span| span.0 <= value);
    after.checked_sub(1).and_then(|at| spans.get(at)).is_some_and(|span| value <= span.1)
}

/// What is in both sets.
pub(crate) fn both<T: Coordinate>(one: &[Span<T>], other: &[Span<T>]) -> Vec<Span<T>> {
    let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
    let mut found = Vec::new();
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let (first, last) = (a.0.max(b.0), a.1.min(b.1));
        if first <= last {
            found.push((first, last));
        }
        if a.1 < b.1 {
            left.next()
        } else {
            right.next()
        };
    }
    found
}

/// What is in the first set and not in the second.
pub(crate) fn without<T: Coordinate>(one: &[Span<T>], other: &[Span<T>]) -> Vec<Span<T>> {
    both(one, &complement(other))
}

/// What is not in the set.
pub(crate) fn complement<T: Coordinate>(spans: &[Span<T>]) -> Vec<Span<T>> {
    let mut found = Vec::with_capacity(spans.len() + 1);
    let mut open = Some(T::FIRST);
    for (first, last) in spans {
        if let (Some(open), Some(before)) = (open, first.previous())
            && open <= before
        {
            found.push((open, before));
        }
        open = last.next();
    }
    found.extend(open.map(|open| (open, T::LAST)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All sets of values below 6, and their spans.
    fn sets() -> Vec<(u32, Vec<Span<u32>>)> {
        (0..64).map(|bits| (bits, of_values((0..6).filter(|value| bits & (1 << value) != 0)))).collect()
    }

    fn bits(spans: &[Span<u32>]) -> u32 {
        (0..6).filter(|value| contains(spans, *value)).map(|value| 1 << value).sum()
    }

    #[test]
    fn sets_of_all_small_values_are_right() {
        for (one, a) in sets() {
            assert_eq!(bits(&a), one, "{a:?}");
            assert!(
                a.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0),
                "{a:?} has gaps between its intervals"
            );
            for (other, b) in sets() {
                assert_eq!(bits(&both(&a, &b)), one & other, "{a:?} and {b:?}");
                assert_eq!(bits(&without(&a, &b)), one & !other, "{a:?} without {b:?}");
                assert_eq!(bits(&normal([a.clone(), b.clone()].concat())), one | other, "{a:?} or {b:?}");
            }
            assert_eq!(complement(&complement(&a)), a);
        }
    }

    #[test]
    fn the_ends_of_the_line_count() {
        assert_eq!(complement::<u32>(&[]), [(0, u32::MAX)]);
        assert_eq!(complement(&[(0, u32::MAX)]), []);
        assert_eq!(normal(vec![(3, u32::MAX), (0, 2), (5, 7)]), [(0, u32::MAX)]);
    }
}
