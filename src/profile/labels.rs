//! Labels and taints as Kubernetes takes them; it would refuse the pods
//! otherwise.

use super::format::is_label;

/// Whether `text` is the key of a label or a taint: a name, and before it, if
/// anything, a domain and a slash.
pub fn is_key(text: &str) -> bool {
    match text.split_once('/') {
        None => is_word(text),
        Some((domain, name)) => {
            is_word(name) && domain.len() <= 253 && domain.split('.').all(is_label)
        }
    }
}

/// Whether `text` is the value of a label or a taint, which may be empty.
pub fn is_value(text: &str) -> bool {
    text.is_empty() || is_word(text)
}

fn is_word(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::bare("disk", true)]
    #[case::with_a_domain("node-role.kubernetes.io/infra", true)]
    #[case::capitals_in_the_name("example.com/Big_Disk.2", true)]
    #[case::capitals_in_the_domain("Example.com/disk", false)]
    #[case::two_slashes("a/b/c", false)]
    #[case::no_name("example.com/", false)]
    #[case::no_domain("/disk", false)]
    #[case::empty("", false)]
    #[case::hyphen_at_the_end("disk-", false)]
    #[case::space("a b", false)]
    #[case::longest(&"a".repeat(63), true)]
    #[case::too_long(&"a".repeat(64), false)]
    fn keys(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(is_key(text), expected);
    }

    #[rstest]
    #[case::empty("", true)]
    #[case::word("SSD_2.1-a", true)]
    #[case::slash("a/b", false)]
    #[case::too_long(&"a".repeat(64), false)]
    fn values(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(is_value(text), expected);
    }
}
