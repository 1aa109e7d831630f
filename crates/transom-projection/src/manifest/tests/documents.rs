//! What `docs/manifest.md` says is so.

use std::path::Path;

use super::schema::schema;
use super::validator::is_valid;
use super::{parse, parse_with};
use crate::ViewPath;
use crate::manifest::{
    BYTES_MAX, INPUTS_MAX, NamedPath, OUTPUTS_MAX, STRING_BYTES_MAX, TIMEOUT_SECONDS_MAX,
};
use crate::{PATH_BYTES_MAX, manifest};

const PAGE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/manifest.md"
));

#[test]
fn every_example_is_a_manifest() {
    let depfile = blocks("make").next().unwrap();
    let files = [
        ("/base/sources.txt", "src/a.c\n"),
        ("/base/headers.list", "a.h\0"),
        ("/base/main.d", depfile),
    ];
    let examples: Vec<_> = blocks("json").collect();
    assert!(examples.len() > 8, "{}", examples.len());
    for example in examples {
        assert_eq!(parse_with(example, &files).map(drop), Ok(()), "{example}");
        assert!(
            is_valid(&serde_json::from_str(example).unwrap(), &schema()),
            "{example}"
        );
    }
}

#[test]
fn every_field_has_a_place() {
    let fields = [
        &manifest::FIELDS[..],
        &manifest::input::FIELDS,
        &manifest::action_fields::OUTPUT_FIELDS,
        &manifest::action_fields::ENVIRONMENT_FIELDS,
        &manifest::json::BYTES_FIELDS,
    ];
    for field in fields.concat() {
        assert!(PAGE.contains(&format!("`{field}`")), "{field}");
    }
}

#[test]
fn names_are_derived_as_the_table_says() {
    let mut rows = 0;
    let table = PAGE.split_once("| path in the list |").unwrap().1;
    for row in table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
    {
        let cells: Vec<_> = row
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        let [_, path, under, name, host, _] = cells[..] else {
            panic!("{row}");
        };
        let under = ViewPath::parse(under.as_bytes()).unwrap_or_default();
        let derived = NamedPath::derive(path.as_bytes(), Path::new("/home/me/project"), &under);
        match derived {
            Ok(path) => {
                assert_eq!(path.name.to_string(), name, "{row}");
                assert_eq!(path.host, Path::new(host), "{row}");
            }
            Err(problem) => {
                let said = name.strip_prefix("refused: ").unwrap();
                assert!(problem.to_string().contains(said), "{problem}");
            }
        }
        rows += 1;
    }
    assert_eq!(rows, 5);
}

#[test]
fn the_messages_are_those_shown() {
    let manifests = [
        r#"{"version": 1, "inputs": [{"name": "work/../x", "file": "x"}]}"#,
        r#"{"version": 1, "ouputs": []}"#,
        r#"{"version": 1, "inputs": ["#,
    ];
    let place = |message: &str| message.find(": ").unwrap();
    let shown = blocks("text").last().unwrap();
    assert_eq!(shown.lines().count(), manifests.len());
    for (shown, manifest) in shown.lines().zip(manifests) {
        let said = parse(manifest).unwrap_err();
        let (said, shown) = (&said[place(&said)..], &shown[place(shown)..]);
        let shown = shown.strip_suffix("...)").unwrap_or(shown);
        assert!(said.starts_with(shown), "said  {said}\nshown {shown}");
    }
}

#[test]
fn the_limits_are_those_shown() {
    assert!(PAGE.contains(&TIMEOUT_SECONDS_MAX.to_string()));
    let limits = PAGE.split_once("## Limits").unwrap().1;
    for limit in [
        INPUTS_MAX,
        OUTPUTS_MAX,
        BYTES_MAX,
        PATH_BYTES_MAX,
        STRING_BYTES_MAX,
    ] {
        assert!(limits.contains(&with_commas(limit)), "{limit}");
    }
}

/// The fenced blocks of a language.
fn blocks(language: &str) -> impl Iterator<Item = &'static str> {
    let fence = format!("\n```{language}\n");
    let mut rest = PAGE;
    std::iter::from_fn(move || {
        let (_, block) = rest.split_once(&fence)?;
        let (block, after) = block.split_once("\n```")?;
        rest = after;
        Some(block)
    })
}

fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|it| str::from_utf8(it).unwrap())
        .collect();
    groups.join(",")
}
