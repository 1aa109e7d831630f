//! What is said about malformed manifests: file, line, entry, remedy.

use super::{parse, parse_with};

#[test]
fn malformed_json() {
    let cases = [
        ("", "action.json:1:1: the JSON ends before it is complete"),
        ("{", "action.json:1:1: the JSON ends before it is complete"),
        (
            "{\n\"version\": 1,\n",
            "action.json:3:1: the JSON ends before it is complete",
        ),
        (
            "{\"version\": 1}\n}",
            "action.json:2:1: this is not valid JSON: trailing characters",
        ),
        (
            "{\"version\": 1,\n \"inputs\": [{\"name\": }]}",
            "action.json:2:22: this is not valid JSON: expected value",
        ),
        (
            "{\"version\": 01}",
            "action.json:1:14: this is not valid JSON: invalid number",
        ),
        (
            "what",
            "action.json:1:1: this is not valid JSON: expected value",
        ),
        (
            "\u{feff}{}",
            "action.json:1:1: this is not valid JSON: expected value",
        ),
        (
            "[1]",
            "action.json:1: the document must be an object, not an array",
        ),
        (
            "\n3",
            "action.json:1: the document must be an object, not a number",
        ),
    ];
    check(&cases);
    let not_text = parse(b"{\n  \"version\": 1, \"root\": \"\xff\"}").unwrap_err();
    assert!(
        not_text.starts_with("action.json:2:26: a manifest is UTF-8 text and this byte is not"),
        "{not_text}"
    );
    assert!(not_text.contains("base64"), "{not_text}");
}

#[test]
fn lone_surrogates_are_located() {
    let text = "{\"version\": 1,\n\"command\": [\"a\",\n  \"\\ud800\"]}";
    check(&[(
        text,
        "action.json:3:10: this is not valid JSON: unexpected end of hex escape",
    )]);
}

#[test]
fn versions() {
    let cases = [
        ("{}", "action.json:1: the field `version` is missing"),
        (
            "{\"version\": 2}",
            "action.json:1: `version` must be 1, the one",
        ),
        (
            "{\"version\": \"1\"}",
            "action.json:1: `version` must be a number, not a string",
        ),
    ];
    check(&cases);
}

#[test]
fn unknown_repeated_and_ill_typed_fields() {
    let cases = [
        (
            "\"ouputs\": []",
            "action.json:2: unknown field \"ouputs\"; did you mean `outputs`? (known: `$schema`, `version`, `inputs`, ",
        ),
        (
            "\"x\": []",
            "action.json:2: unknown field \"x\" (known: `$schema`",
        ),
        (
            "\"inputs\": [],\n \"inputs\": []",
            "action.json:3: the field \"inputs\" is given twice",
        ),
        (
            "\"inputs\": {}",
            "action.json:2: `inputs` must be an array, not an object",
        ),
        (
            "\"inputs\": [\n3]",
            "action.json:3: input 1: each value in `inputs` must be an object, not a number",
        ),
        (
            "\"network\": null",
            "action.json:2: `network` must be true or false, not null",
        ),
        (
            "\"root\": \"veiw\"",
            "action.json:2: `root` cannot be \"veiw\" (known: `view`, `host-ro`)",
        ),
        (
            "\"tmp\": \"memry\"",
            "action.json:2: `tmp` cannot be \"memry\"; did you mean `memory`?",
        ),
        (
            "\"tmp\": false",
            "action.json:2: `tmp` must be a string, not true or false",
        ),
        (
            "\"environment\": {\"inherit\": \"PATH\"}",
            "action.json:2: `inherit` cannot be \"PATH\" (known: `all`, `none`)",
        ),
        (
            "\"environment\": {\"set\": {\"A\": 1}}",
            "action.json:2: variable \"A\": each value in `set` must be a string or {\"base64\": \"...\"}, not a number",
        ),
        (
            "\"environment\": {\"set\": {\"A\": \"1\",\n\"A\": \"2\"}}",
            "action.json:3: the field \"A\" is given twice",
        ),
        (
            "\"environment\": {\"set\": {\"A=B\": \"1\"}}",
            "action.json:2: variable \"A=B\": an environment variable has a name",
        ),
        (
            "\"environment\": {\"inherit\": [\"\"]}",
            "action.json:2: an environment variable has a name",
        ),
        (
            "\"command\": []",
            "action.json:2: `command` must at least name a program",
        ),
        (
            "\"command\": [\"\"]",
            "action.json:2: `command` must at least name a program",
        ),
        (
            "\"command\": [\"a\", \"b\\u0000\"]",
            "action.json:2: an argument contains a NUL byte",
        ),
        (
            "\"timeout_seconds\": 0",
            "action.json:2: `timeout_seconds` must be more than 0 and at most 31536000",
        ),
        (
            "\"timeout_seconds\": -1",
            "action.json:2: `timeout_seconds` must be more",
        ),
        (
            "\"timeout_seconds\": 1e-99",
            "action.json:2: `timeout_seconds` must be more",
        ),
        (
            "\"timeout_seconds\": 1e999",
            "action.json:2: `timeout_seconds` must be more",
        ),
        (
            "\"timeout_seconds\": \"5\"",
            "action.json:2: `timeout_seconds` must be a number, not a string",
        ),
        (
            "\"mount_at\": \"srv\"",
            "action.json:2: `mount_at` must be an absolute",
        ),
        (
            "\"mount_at\": \"/\"",
            "action.json:2: `mount_at` must be an absolute",
        ),
        (
            "\"mount_at\": \"/a/../b\"",
            "action.json:2: `mount_at` must be an absolute",
        ),
        (
            "\"mount_at\": \"/a\"",
            "action.json:2: `mount_at` says where the view is in the host's root; it needs",
        ),
        (
            "\"mount_at\": \"/a\", \"root\": \"view\"",
            "action.json:2: `mount_at` says where the view is in the host's root; it needs",
        ),
        (
            "\"working_directory\": \"/work\"",
            "action.json:2: working directory \"/work\": names are relative to the root of the view; remove the leading `/`",
        ),
        (
            "\"writable\": [\"a\",\n\"b/../c\"]",
            "action.json:3: writable directory \"b/../c\": `.` and `..` are not allowed",
        ),
    ];
    check_fields(&cases);
}

#[test]
fn inputs() {
    let long = format!("{{\"name\": \"{}\", \"file\": \"a\"}}", "n".repeat(300));
    let cases = [
        (
            "{\"name\": \"work/../x\", \"file\": \"x\"}",
            "input \"work/../x\": `.` and `..` are not allowed; names are relative",
        ),
        (
            "{\"name\": \"/etc/passwd\", \"file\": \"x\"}",
            "input \"/etc/passwd\": names are relative to the root of the view; remove the leading `/`",
        ),
        (
            "{\"name\": \"\", \"empty_directory\": true}",
            "input \"\": the name is empty",
        ),
        (
            "{\"name\": \"a//b\", \"empty_directory\": true}",
            "input \"a//b\": a name is empty",
        ),
        (
            "{\"name\": \"a\\u0000b\", \"file\": \"x\"}",
            "input \"a\\0b\": a name contains a NUL byte",
        ),
        (&long, "nnn\"...: a name is 300 bytes long, at most 255"),
        (
            "{\"name\": {\"base64\": \"??\"}, \"file\": \"x\"}",
            "input 1: this is not base64",
        ),
        (
            "{\"name\": \"a\", \"file\": {\"base65\": \"\"}}",
            "input \"a\": unknown field \"base65\"; did you mean `base64`?",
        ),
        (
            "{\"name\": \"a\", \"file\": {}}",
            "input \"a\": the field `base64` is missing",
        ),
        (
            "{\"name\": \"a\", \"file\": \"x\\u0000\"}",
            "input \"a\": the host path contains a NUL byte",
        ),
        (
            "{\"name\": \"a\", \"file\": \"\"}",
            "input \"a\": the host path is empty",
        ),
        (
            "{\"name\": \"a\", \"symlink\": \"\"}",
            "input \"a\": the target of the symbolic link is empty",
        ),
        (
            "{\"name\": \"a\", \"symlink\": \"b\\u0000\"}",
            "input \"a\": the target of the symbolic link contains a NUL byte",
        ),
        ("{\"file\": \"a\"}", "input 1: the field `name` is missing"),
        (
            "{\"name\": \"a\"}",
            "input \"a\": an input has exactly one of the fields `file`, `directory`, `symlink`, `empty_directory`, `file_list`, `depfile`, and this one has none",
        ),
        (
            "{\"name\": \"a\", \"directory\": \"/\", \"file\": \"/\"}",
            "and this one has `file`, `directory`",
        ),
        (
            "{\"name\": \"a\", \"directory\": \"/\", \"executable\": true}",
            "input \"a\": `executable` has no meaning beside `directory`",
        ),
        (
            "{\"name\": \"a\", \"depfile\": \"a.d\"}",
            "input \"a\": `name` has no meaning beside `depfile`",
        ),
        (
            "{\"depfile\": \"a.d\", \"separator\": \"nul\"}",
            "input 1: `separator` has no meaning beside `depfile`",
        ),
        (
            "{\"name\": \"a\", \"empty_directory\": false}",
            "input \"a\": `empty_directory` can only be true",
        ),
        (
            "{\"name\": \"a\", \"fil\": \"b\"}",
            "unknown field \"fil\"; did you mean `file`?",
        ),
        (
            "{\"file_list\": \"a\", \"separator\": \"null\"}",
            "input 1: `separator` cannot be \"null\"; did you mean `nul`?",
        ),
        (
            "{\"file_list\": \"missing.txt\"}",
            "cannot read /base/missing.txt: entity not found",
        ),
    ];
    for (input, message) in cases {
        let text = format!("{{\"version\": 1,\n\"inputs\": [\n{input}]}}");
        let error = parse(text).unwrap_err();
        assert!(
            error.starts_with("action.json:3: input "),
            "{input}: {error}"
        );
        assert!(error.contains(message), "{input}: {error}");
    }
}

#[test]
fn symlink_targets_have_the_length_of_paths() {
    let input = |length| {
        let target = "t".repeat(length);
        parse(format!(
            "{{\"version\": 1, \"inputs\": [{{\"name\": \"a\", \"symlink\": \"{target}\"}}]}}"
        ))
    };
    assert!(input(4095).is_ok());
    let error = input(4096).unwrap_err();
    assert!(
        error.contains("link is 4096 bytes long, at most 4095 are allowed"),
        "{error}"
    );
}

#[test]
fn the_line_is_that_of_the_value() {
    let text = "{\"version\": 1, \"inputs\": [\n{\n\"name\": \"a\",\n\"file\":\n\"x\\u0000\"\n}]}";
    let error = parse(text).unwrap_err();
    assert!(error.starts_with("action.json:5: input \"a\": "), "{error}");
}

#[test]
fn outputs() {
    let cases = [
        (
            "{\"kind\": \"file\"}",
            "action.json:3: the field `name` is missing",
        ),
        (
            "{\"name\": \"o\", \"destination\": \"o\"}",
            "action.json:3: output \"o\": the field `kind` is missing",
        ),
        (
            "{\"name\": \"o\", \"kind\": \"file\"}",
            "action.json:3: output \"o\": the field `destination` is missing",
        ),
        (
            "{\"name\": \"o\", \"kind\": \"fifo\", \"destination\": \"o\"}",
            "action.json:3: output \"o\": `kind` cannot be \"fifo\" (known: `file`, `directory`)",
        ),
        (
            "{\"name\": \"../o\", \"kind\": \"file\", \"destination\": \"o\"}",
            "action.json:3: output \"../o\": `.` and `..` are not allowed",
        ),
        (
            "{\"name\": \"o\", \"kind\": \"file\", \"destination\": \"o\", \"optional\": 1}",
            "action.json:3: output \"o\": `optional` must be true or false, not a number",
        ),
    ];
    for (output, message) in cases {
        check(&[(
            &format!("{{\"version\": 1,\n\"outputs\": [\n{output}]}}"),
            message,
        )]);
    }
}

#[test]
fn complaints_about_referenced_files_name_their_lines() {
    let files = [
        ("/base/list", "a\n../b\n"),
        ("/base/a.d", "a.o: a.c \\\n $(X)\n"),
        ("/base/b.d", "b.o: ../b.h\n"),
    ];
    let cases = [
        (
            "{\"file_list\": \"list\"}",
            "/base/list:2: \"../b\": this path leads above the root of the view",
        ),
        (
            "{\"depfile\": \"a.d\"}",
            "/base/a.d:2: a depfile names files, not variables of make",
        ),
        (
            "{\"depfile\": \"b.d\"}",
            "/base/b.d:1: \"../b.h\": this path leads above the root of the view",
        ),
    ];
    for (input, message) in cases {
        let text = format!("{{\"version\": 1, \"inputs\": [{input}]}}");
        let error = parse_with(text, &files).unwrap_err();
        assert!(error.starts_with(message), "{input}: {error}");
    }
}

fn check_fields(cases: &[(&str, &str)]) {
    for (fields, message) in cases {
        check(&[(&format!("{{\"version\": 1,\n{fields}}}"), message)]);
    }
}

fn check(cases: &[(&str, &str)]) {
    for (text, message) in cases {
        let error = parse(text).unwrap_err();
        assert!(
            error.starts_with(message),
            "{text}\nsaid     {error}\nexpected {message}"
        );
    }
}
