//! Whatever is combined: an answer turns only under another reading of one of its doubts.

use proptest::prelude::*;

use super::*;

const CAVEATS: [Caveat; 3] = [Caveat::Hairpin, Caveat::EndPort, Caveat::OwnNode];

/// How an answer came to be.
#[derive(Clone, Debug)]
enum Tree {
    Certain(bool),
    /// Under another reading of the caveat, the opposite.
    Doubtful(bool, usize),
    Or(Box<Tree>, Box<Tree>),
    And(Box<Tree>, Box<Tree>),
    Choose(Box<Tree>, Box<Tree>, Box<Tree>),
}

impl Tree {
    fn answer(&self) -> Answer {
        match self {
            Self::Certain(holds) => Answer::certain(*holds),
            Self::Doubtful(holds, caveat) => Answer::doubtful(*holds, CAVEATS[*caveat]),
            Self::Or(one, other) => one.answer().or(other.answer()),
            Self::And(one, other) => one.answer().and(other.answer()),
            Self::Choose(condition, then, otherwise) => {
                Answer::choose(&condition.answer(), then.answer(), otherwise.answer())
            }
        }
    }

    /// The answer where these caveats are read in the other way.
    fn read(&self, others: [bool; 3]) -> bool {
        match self {
            Self::Certain(holds) => *holds,
            Self::Doubtful(holds, caveat) => *holds != others[*caveat],
            Self::Or(one, other) => one.read(others) || other.read(others),
            Self::And(one, other) => one.read(others) && other.read(others),
            Self::Choose(condition, then, otherwise) => {
                if condition.read(others) {
                    then.read(others)
                } else {
                    otherwise.read(others)
                }
            }
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Tree::Certain),
        (any::<bool>(), 0..CAVEATS.len()).prop_map(|(holds, caveat)| Tree::Doubtful(holds, caveat)),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            (boxed(), boxed()).prop_map(|(one, other)| Tree::Or(one, other)),
            (boxed(), boxed()).prop_map(|(one, other)| Tree::And(one, other)),
            (boxed(), boxed(), boxed()).prop_map(|(a, b, c)| Tree::Choose(a, b, c)),
        ]
    })
}

proptest! {
    #[test]
    fn what_turns_an_answer_is_among_its_doubts(tree in tree()) {
        let answer = tree.answer();
        for bits in 0..8_u8 {
            let others = [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
            let doubted = CAVEATS.iter().zip(others).any(|(caveat, other)| other && answer.doubts.contains(caveat));
            prop_assert!(tree.read(others) == answer.holds || doubted, "{others:?} turn {answer:?}");
        }
    }
}
