//! The summary is what `docs/summary.md` says.

use serde_json::{Value, json};

use crate::action::{Action, Run};
use crate::world::{World, over_both_engines};

over_both_engines!(
    of_a_run_that_succeeded,
    of_a_run_without_its_output,
    of_a_command_that_is_not_there,
    of_a_run_that_could_not_be_set_up,
    of_outputs_that_were_kept_or_discarded,
    destinations_have_no_detours,
);

/// The examples in the document, in order.
fn examples() -> Vec<Value> {
    include_str!("../../../../docs/summary.md")
        .split("```json\n")
        .skip(1)
        .map(|rest| serde_json::from_str(rest.split("```").next().unwrap()).unwrap())
        .collect()
}

/// What differs between runs, engines and machines is made alike.
fn alike(world: &World, summary: &Value) -> Value {
    let text = summary.to_string();
    let text = text.replace(world.path().to_str().unwrap(), "/srv/demo");
    let mut summary: Value = serde_json::from_str(&text).unwrap();
    if summary.get("engine").is_some() {
        summary["engine"] = json!(null);
        summary["passthrough"] = json!(null);
        summary["requests"]["by_opcode"] = json!({});
        for group in ["declared", "requests", "times"] {
            let numbers = summary[group].as_object_mut().unwrap();
            numbers
                .values_mut()
                .filter(|value| value.is_u64())
                .for_each(|value| *value = json!(0));
        }
    }
    summary
}

#[track_caller]
fn is_the_example(world: &World, run: &Run, number: usize) {
    let (report, example) = (
        alike(world, run.report()),
        alike(world, &examples()[number]),
    );
    // The document leaves out what it has shown.
    for (field, value) in example.as_object().unwrap() {
        assert_eq!(report[field], *value, "{field}");
    }
    if number != 1 {
        assert_eq!(report, example);
    }
}

fn making(world: &World) -> Action<'_> {
    world.action().output("file", "w/made", "made")
}

fn of_a_run_that_succeeded(world: &World) {
    let input = world.file("input", "input\n");
    let maybe =
        json!({ "name": "w/maybe", "kind": "file", "destination": "maybe", "optional": true });
    let action = making(world).output_as(maybe).file("in/put", input);
    let run = action.sh("touch made other").run().succeeded();
    is_the_example(world, &run, 0);
}

fn of_a_run_without_its_output(world: &World) {
    let run = making(world).sh("touch mode").run().exited(123);
    is_the_example(world, &run, 1);
}

fn of_a_command_that_is_not_there(world: &World) {
    let run = making(world).command(["no-such-command"]).run();
    is_the_example(world, &run.exited(127), 2);
}

fn of_a_run_that_could_not_be_set_up(world: &World) {
    let run = making(world).file("w/in", "/no/such/file").sh("true").run();
    let run = run.exited(125).says("the host has no `/no/such/file`");
    let report = run.report();
    assert_eq!(
        (&report["exit_code"], &report["exit"], report.get("engine")),
        (&json!(125), &json!({ "kind": "not-run" }), None)
    );
    let error = report["errors"][0].as_str().unwrap();
    assert!(run.stderr().contains(error), "{error}");
}

fn of_outputs_that_were_kept_or_discarded(world: &World) {
    for (arguments, state) in [(&["--keep-failed"][..], "kept"), (&[], "discarded")] {
        let action = making(world).output("file", "w/other", "other");
        let run = action.args(arguments).sh("touch made").run().exited(123);
        assert_eq!(run.report()["outputs"][0]["state"], state);
        assert_eq!(run.report()["outputs"][1]["state"], "missing");
    }
}

fn destinations_have_no_detours(world: &World) {
    world.directory("deep/er");
    let action = world.action().output("file", "w/made", "deep/er/../made");
    let run = action.sh("touch made").run().succeeded();
    let expected = world.path().join("deep/made");
    assert_eq!(run.report()["outputs"][0]["destination"], json!(expected));
}
