//! Names of objects.

/// How long a name may be.
const LONGEST: usize = 253;

/// What is wrong with the name of a policy.
pub(crate) const REASON: &str = "is no name of an object; use at most 253 lower-case letters, digits, hyphens and dots, with a \
                                 letter or digit at both ends and around each dot";

/// Whether it is a subdomain as of RFC 1123, as Kubernetes applies it: that is what names of policies are.
pub(crate) fn is_subdomain(name: &str) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.iter().all(|byte| is_plain(byte) || *byte == b'-')
            && bytes.first().is_some_and(is_plain)
            && bytes.last().is_some_and(is_plain)
    };
    name.len() <= LONGEST && name.split('.').all(is_part)
}

/// Whether it can begin a name that the server ends.
pub(crate) fn is_beginning(name: &str) -> bool {
    name.strip_suffix('-').map_or_else(|| is_subdomain(name), |rest| is_subdomain(&format!("{rest}a")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_objects_can_have() {
        let long = "a".repeat(LONGEST + 1);
        // A name, and whether it is one, or begins one.
        for (name, whole, begins) in [
            ("web", true, true),
            ("web.v1-2.shop", true, true),
            ("0", true, true),
            (&long[1..], true, true),
            (&long, false, false),
            ("Bad_Name", false, false),
            ("web-", false, true),
            ("web.", false, false),
            ("-web", false, false),
            ("web..shop", false, false),
            ("wéb", false, false),
        ] {
            assert_eq!((is_subdomain(name), is_beginning(name)), (whole, begins), "{name}");
        }
    }
}
