//! `{name}` and `{value}` in the texts of `gitroll.toml`, filled in once: what is filled in is not examined
//! again.

/// The text with both filled in.
pub(super) fn fill(template: &str, name: &str, value: &str) -> String {
    let mut filled = String::with_capacity(template.len() + name.len() + value.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("{name}") {
            filled.push_str(name);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("{value}") {
            filled.push_str(value);
            rest = after;
        } else {
            filled.push('{');
            rest = &rest[1..];
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn what_is_filled_in_is_not_filled_in_again() {
        assert_eq!(fill("{\"{name}\": {value}}", "A", "{name}"), "{\"A\": {name}}");
        assert_eq!(fill("{nam{name}}{", "x", "y"), "{namx}{");
        assert_eq!(fill("--{name}={value}", "x", "é"), "--x=é");
    }
}
