//! A stable sample: the same pods win while they live, and a new pod displaces at most one.

use peerwalk_model::PodRef;

/// At most `most` pods, chosen by rendezvous hashing over their uids (highest random weight).
pub fn stable<'a>(pods: impl IntoIterator<Item = &'a PodRef>, seed: &str, most: usize) -> Vec<&'a PodRef> {
    let mut weighed: Vec<_> = pods.into_iter().map(|pod| (weight(seed, &pod.uid), pod)).collect();
    weighed.sort_unstable_by(|a, b| b.cmp(a));
    weighed.truncate(most);
    let mut chosen: Vec<_> = weighed.into_iter().map(|(_, pod)| pod).collect();
    chosen.sort_unstable();
    chosen
}

/// The weight of a candidate under a seed: FNV-1a with a final mix, the same in every version of the program.
pub fn weight(seed: &str, candidate: &str) -> u64 {
    let bytes = seed.bytes().chain([0]).chain(candidate.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The finaliser of SplitMix64: FNV's high bits depend little on the last bytes.
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(names: std::ops::Range<u32>) -> Vec<PodRef> {
        let pod =
            |n: u32| PodRef { namespace: "shop".into(), name: format!("web-{n}"), uid: format!("uid-{n}") };
        names.map(pod).collect()
    }

    #[test]
    fn a_new_pod_displaces_at_most_one() {
        let before = pods(0..30);
        let after = pods(0..31);
        let first = stable(&before, "shop/check", 10);
        let second = stable(&after, "shop/check", 10);
        assert_eq!(first.len(), 10, "the sample is full");
        let kept = first.iter().filter(|pod| second.contains(pod)).count();
        assert!(kept >= 9, "one pod more changes at most one place: {kept} of 10 kept");
    }

    #[test]
    fn few_pods_are_all_taken() {
        let all = pods(0..3);
        assert_eq!(stable(&all, "x", 10).len(), 3, "a sample larger than the whole is the whole");
    }

    #[test]
    fn checks_choose_differently() {
        let all = pods(0..100);
        assert_ne!(stable(&all, "a", 10), stable(&all, "b", 10), "the seed spreads checks over the pods");
    }
}
