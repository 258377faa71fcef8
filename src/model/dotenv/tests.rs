#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// Name, value and quote of each assignment.
fn read(bytes: &[u8]) -> Vec<(String, String, Option<char>)> {
    assignments(bytes).into_iter().map(|one| (one.name, one.value, one.quote)).collect()
}

#[test]
fn a_file_is_read_as_the_package_of_npm_reads_it() {
    type Read<'a> = &'a [(&'a str, &'a str, Option<char>)];
    let (single, double, tick) = (Some('\''), Some('"'), Some('`'));
    let table: [(&[u8], Read<'_>); 20] = [
        (b"A=1\nB=2", &[("A", "1", None), ("B", "2", None)]),
        (b"A=1\r\nB=2\r\n", &[("A", "1", None), ("B", "2", None)]),
        (b"A=1\rB=2\r", &[("A", "1", None), ("B", "2", None)]),
        (b"\xef\xbb\xbfA=1\n", &[("A", "1", None)]),
        (b"  export  A = two words \n", &[("A", "two words", None)]),
        (b"export A\nA: 1\n", &[("A", "1", None)]),
        (b"# A=1\nA=1 # one\nB=a#b\n", &[("A", "1", None), ("B", "a", None)]),
        (
            b"A='1' # one\nB=\"#\"\nC=`#`",
            &[("A", "1", single), ("B", "#", double), ("C", "#", tick)],
        ),
        (b"A=\"a\\nb\"\nB='a\\nb'\n", &[("A", "a\nb", double), ("B", "a\\nb", single)]),
        (b"A=\"a\nb\"\nB=1\n", &[("A", "a\nb", double), ("B", "1", None)]),
        (b"A='a\r\nB=2\r\n'\r\nC=3", &[("A", "a\nB=2\n", single), ("C", "3", None)]),
        (b"A=\"open\nB=1\n", &[("A", "\"open", None), ("B", "1", None)]),
        (b"A='it''s'\n", &[("A", "it''s", single)]),
        (b"A=\nB=''\nC=\"\"", &[("A", "", None), ("B", "", single), ("C", "", double)]),
        (b"A.b-C=1\n", &[("A.b-C", "1", None)]),
        (b"no pair\n=1\nA/B=1\n", &[]),
        (b"", &[]),
        (b"# gr\xfc\xdfe\nA=1\n", &[("A", "1", None)]),
        (b"A=gr\xfcn\nB=\"\xff\"\n", &[("A", "gr\u{fffd}n", None), ("B", "\u{fffd}", double)]),
        (b"A=a\0b\n\0\nB=1\n", &[("A", "a\0b", None), ("B", "1", None)]),
    ];
    for (bytes, wanted) in table {
        let owned = |(name, value, quote): &(&str, &str, Option<char>)| {
            ((*name).to_owned(), (*value).to_owned(), *quote)
        };
        let wanted: Vec<_> = wanted.iter().map(owned).collect();
        assert_eq!(read(bytes), wanted, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn spans_are_places_in_the_bytes() {
    let bytes = b"# \xfc\r\n export A = 'x\r\ny' # z\r\nB=\xff\r\nC=\r\n";
    let spans: Vec<_> = assignments(bytes)
        .into_iter()
        .map(|one| (bytes[one.span].to_vec(), bytes[one.value_span].to_vec()))
        .collect();
    let wanted: [(&[u8], &[u8]); 3] =
        [(b"export A = 'x\r\ny'", b"'x\r\ny'"), (b"B=\xff", b"\xff"), (b"C=", b"")];
    assert_eq!(spans, wanted.map(|(whole, value)| (whole.to_vec(), value.to_vec())));
}

#[test]
fn names_are_sorted_and_come_once_whatever_other_bytes_there_are() {
    assert_eq!(names(b"B=1\n\xff\nA=\xe9\nB=3\n"), ["A", "B"]);
}

fn set(text: &str, name: &str, value: &str) -> String {
    String::from_utf8(with(text.as_bytes(), name, Some(value)).unwrap()).unwrap()
}

fn removed(text: &str, name: &str) -> String {
    String::from_utf8(with(text.as_bytes(), name, None).unwrap()).unwrap()
}

#[test]
fn nothing_but_the_value_is_touched() {
    let table = [
        ("A=true\n", "A=false\n"),
        ("A=true", "A=false"),
        ("# A=true\nA=true # A=true\n", "# A=true\nA=false # A=true\n"),
        ("export A = true\r\nB=1\r\n", "export A = false\r\nB=1\r\n"),
        ("  A='true'\nB=1\n", "  A='false'\nB=1\n"),
        ("A=\"true\"   # why\n", "A=\"false\"   # why\n"),
        ("A=`true`\n", "A=`false`\n"),
        ("A: true\n", "A: false\n"),
        ("A=\nB=1\n", "A=false\nB=1\n"),
        ("A=   # empty\n", "A=false   # empty\n"),
        ("A=# empty\n", "A=false # empty\n"),
        ("A=''\n", "A='false'\n"),
        ("\u{feff}A=true\n", "\u{feff}A=false\n"),
        ("A=1\nB=x\nA=2\n", "A=1\nB=x\nA=false\n"),
        ("AA=true\nA.A=true\na=true\nA=true\n", "AA=true\nA.A=true\na=true\nA=false\n"),
        ("B=\"\nA=true\n\"\nA=true\n", "B=\"\nA=true\n\"\nA=false\n"),
        ("B='\r\nA=true\r\n'\r\nA=true", "B='\r\nA=true\r\n'\r\nA=false"),
        ("B=\"open\nA=true\n", "B=\"open\nA=false\n"),
        ("A='a' b\n", "A=false\n"),
        ("A=\r\n\r\n\r\nB=1", "A=false\r\n\r\n\r\nB=1"),
    ];
    for (old, new) in table {
        assert_eq!(set(old, "A", "false"), new, "{old:?}");
    }
}

#[test]
fn a_missing_name_is_added_at_the_end_as_the_lines_there_end() {
    let table = [
        ("", "A=false\n"),
        ("\u{feff}", "\u{feff}A=false\n"),
        ("B=1\n", "B=1\nA=false\n"),
        ("B=1", "B=1\nA=false"),
        ("B=1\r\n", "B=1\r\nA=false\r\n"),
        ("B=1\r\nC=2", "B=1\r\nC=2\r\nA=false"),
        ("# A=true\n\n", "# A=true\n\nA=false\n"),
    ];
    for (old, new) in table {
        assert_eq!(set(old, "A", "false"), new, "{old:?}");
        assert_eq!(removed(new, "A"), if old.is_empty() { "" } else { old }, "{new:?}");
    }
}

#[test]
fn taken_out_are_all_lines_that_set_it() {
    assert_eq!(removed("A=1\nB=2\nexport A='x\ny' # z\nC=3\n", "A"), "B=2\nC=3\n");
    assert_eq!(removed("\u{feff}A=1\r\nB=2\r\n", "A"), "\u{feff}B=2\r\n");
    assert_eq!(removed("B=2\r\nA=1", "A"), "B=2");
    assert_eq!(removed("# A=1\n", "A"), "# A=1\n");
}

#[test]
fn values_are_quoted_as_they_were_or_as_they_must_be() {
    let table = [
        ("A=1\n", "two words", "A=\"two words\"\n"),
        ("A=1\n", "a#b", "A=\"a#b\"\n"),
        ("A=1\n", "", "A=\n"),
        ("A=1\n", "$HOME", "A='$HOME'\n"),
        ("A=1\n", "it's", "A=\"it's\"\n"),
        ("A='1'\n", "it's", "A=\"it's\"\n"),
        ("A=1\n", "say \"x\"", "A='say \"x\"'\n"),
        ("A=1\n", "both ' and \"", "A=`both ' and \"`\n"),
        ("A=\"1\"\n", "a\\nb", "A='a\\nb'\n"),
        ("A=\"1\"\n", "a\nb", "A=\"a\nb\"\n"),
        ("A=1\n", " x ", "A=\" x \"\n"),
        ("A=\"x", "y", "A=y"),
    ];
    for (old, value, new) in table {
        assert_eq!(set(old, "A", value), new, "{old:?} {value:?}");
        assert_eq!(values(new.as_bytes())["A"], value);
    }
    assert!(with(b"A=1\n", "A", Some("' \" `")).is_err());
    assert!(with(b"", "A:B", Some("1")).is_err());
    assert_eq!(with(b"A=\n\"x\"\n", "A", Some("1")), Err(DotenvError::SplitLine));
}

#[test]
fn bytes_that_are_no_text_stay_as_they_are() {
    let old = b"# gr\xfc\xdfe\nB=\xff\xfe\nA=true\n";
    let new = with(old, "A", Some("false")).unwrap();
    assert_eq!(new, b"# gr\xfc\xdfe\nB=\xff\xfe\nA=false\n");
}

#[test]
fn a_loose_reader_finds_what_a_strict_one_finds_and_more() {
    let text = "\u{feff}# comment\nA=1\n export B = two words # said\nC='it''s'\nD=\"x\\ny\" # z\n\
                E=\nF: yaml like\nnot a pair\n=no key\nG=`a\nb`\r\nH=pa#ss\nI=\"open\nJ=j\r\n";
    let pairs = loose_pairs(text);
    let find = |key: &str| -> Vec<&str> {
        pairs.iter().filter(|(k, _)| k == key).map(|(_, v)| v.as_str()).collect()
    };
    assert_eq!(find("A"), ["1"]);
    assert_eq!(find("B"), ["two words"]);
    assert_eq!(find("D"), ["x\ny"]);
    assert_eq!(find("E"), [""]);
    assert_eq!(find("F"), ["yaml like"]);
    assert_eq!(find("G"), ["a\nb"]);
    assert_eq!(find("H"), ["pa#ss", "pa"]);
    assert_eq!(find("I"), ["\"open"]);
    assert_eq!(find("J"), ["j"]);
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9]{0,8}",
        "[a-z #=.$]{0,12}".prop_map(|text| format!("'{text}'")),
        "[a-z #=.\n]{0,12}".prop_map(|text| format!("\"{text}\"")),
        "[a-z '\"]{0,6}".prop_map(|text| format!("`{text}`")),
    ]
}

fn line() -> impl Strategy<Value = String> {
    let name = prop_oneof!["[A-C]", "[A-C]{2}"];
    let pair = (prop_oneof!["", "export ", "  "], name, prop_oneof!["=", " = ", "= "], value());
    let pair = pair.prop_map(|(before, name, is, value)| format!("{before}{name}{is}{value}"));
    prop_oneof![
        4 => (pair, prop_oneof![Just(""), Just(" # said")]).prop_map(|(pair, end)| pair + end),
        1 => Just(String::new()),
        1 => "# [a-zA-C=]{0,9}",
    ]
}

fn file() -> impl Strategy<Value = String> {
    let lines = prop::collection::vec(line(), 0..8);
    (lines, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(lines, bom, crlf, last)| {
        let text = lines.join("\n") + if last && !lines.is_empty() { "\n" } else { "" };
        let text = if crlf { text.replace('\n', "\r\n") } else { text };
        if bom { format!("\u{feff}{text}") } else { text }
    })
}

/// A file with other bytes somewhere in it.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![prop::sample::select(&b"\0\n\r#=\"'"[..]), 0x80u8..=0xff];
    let other = prop::collection::vec(byte, 0..6);
    (file(), other, any::<prop::sample::Index>()).prop_map(|(text, other, at)| {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len() + 1);
        bytes.splice(at..at, other);
        bytes
    })
}

proptest! {
    #[test]
    fn other_names_keep_their_values_for_both_readers(text in file(), to in "[a-z0-9 #$']{0,8}") {
        if let Ok(new) = with(text.as_bytes(), "B", Some(&to)) {
            let mut wanted = values(text.as_bytes());
            wanted.insert("B".to_owned(), to.clone());
            prop_assert_eq!(values(&new), wanted);
            prop_assert_eq!(others(&new, "B"), others(text.as_bytes(), "B"));
        }
    }

    #[test]
    fn going_there_and_back_gives_the_same_meaning(text in file()) {
        let before = values(text.as_bytes());
        let there = with(text.as_bytes(), "A", Some("off")).unwrap();
        let back = with(&there, "A", before.get("A").map(String::as_str)).unwrap();
        prop_assert_eq!(values(&back), before.clone());
        if before.get("A").is_none_or(|value| !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric())) {
            prop_assert_eq!(String::from_utf8(back).unwrap(), text);
        }
    }

    #[test]
    fn whatever_a_file_holds_nothing_else_changes_its_meaning(text in "[AB=:'\"`# \n\r\\\\x]{0,24}") {
        if let Ok(new) = with(text.as_bytes(), "A", Some("off")) {
            let mut wanted = values(text.as_bytes());
            wanted.insert("A".to_owned(), "off".to_owned());
            prop_assert_eq!(values(&new), wanted);
        }
    }

    #[test]
    fn what_is_set_reads_back_and_no_other_byte_is_touched(
        bytes in bytes(), name in "[A-C]{1,2}", to in "[a-z0-9 #$'\"\n\\\\]{0,8}"
    ) {
        if let Ok(new) = with(&bytes, &name, Some(&to)) {
            prop_assert_eq!(&values(&new)[&name], &to);
            match assignments(&bytes).into_iter().rfind(|one| one.name == name) {
                Some(old) => {
                    prop_assert!(new.starts_with(&bytes[..old.value_span.start]));
                    prop_assert!(new.ends_with(&bytes[old.value_span.end..]));
                }
                None => prop_assert!(new.starts_with(&bytes)),
            }
        }
    }

    #[test]
    fn what_is_taken_out_is_gone_and_the_others_stay(bytes in bytes(), name in "[A-C]{1,2}") {
        if let Ok(new) = with(&bytes, &name, None) {
            let mut wanted = values(&bytes);
            wanted.remove(&name);
            prop_assert_eq!(values(&new), wanted);
        }
    }

    #[test]
    fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for one in assignments(&bytes) {
            prop_assert!(one.span.start <= one.value_span.start);
            prop_assert_eq!(one.span.end, one.value_span.end);
            prop_assert!(bytes.get(one.span).is_some());
        }
        let _ = possible_values(&bytes);
    }
}

#[test]
fn no_damaged_file_makes_it_panic_and_a_name_that_is_set_is_read_back() {
    crate::model::mutated::each("dotenv", |bytes| {
        let _ = (values(bytes), names(bytes), possible_values(bytes));
        if let Ok(set) = with(bytes, "GITROLL_SET", Some("1")) {
            assert_eq!(values(&set).get("GITROLL_SET").map(String::as_str), Some("1"));
        }
    });
}
