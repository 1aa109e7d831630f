//! The program as its users run it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// One round of the seed's action, by the arms whose names contain `arm`.
fn measure(arm: &str) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_transom-bench"))
        .args(["--only", "seed", "--rounds", "1", "--json", "--arm", arm])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["workloads"][0]["arms"].as_array().unwrap().clone()
}

fn arm<'a>(arms: &'a [Value], name: &str) -> &'a Value {
    arms.iter().find(|arm| arm["name"] == name).unwrap()
}

/// The program itself checks that every arm gave the client the same bytes.
#[test]
fn privileged_both_engines_serve_the_seeds_action_without_a_read() {
    transom_test::privileged!("mount");
    let arms = measure("fuse");
    for name in [
        "fuse",
        "fuse, new view of a kept session",
        "fuse, kept view",
    ] {
        let requests = &arm(&arms, name)["requests"];
        assert_eq!(requests["OPEN"], 440, "{name}: {requests}");
        assert_eq!(requests["READ"], Value::Null, "{name}: {requests}");
    }
    assert_eq!(
        arm(&arms, "fuse, kept view")["requests"]["LOOKUP"],
        Value::Null,
        "the names are known from the round before"
    );
}

#[test]
fn privileged_times_are_compared_with_native() {
    transom_test::privileged!("mount");
    let arms = measure("mounts, kept template");
    let native = arm(&arms, "native");
    let template = arm(&arms, "mounts, kept template");
    assert_eq!(native["run_ratio"], Value::Null);
    let min = |arm: &Value, time: &str| arm[time]["min"].as_f64().unwrap();
    let ratio = min(template, "total") / min(native, "total");
    assert!((min(template, "total_ratio") - ratio).abs() < 1e-9);
    let parts: f64 = ["set_up", "run", "tear_down"]
        .map(|part| min(template, part))
        .iter()
        .sum();
    assert!((min(template, "total") - parts).abs() < 1e-6, "one round");
}

/// A hundredth of the workload; the program itself checks that every arm saw
/// and made the same.
#[test]
fn privileged_the_passthrough_module_is_measured_beside_its_peers() {
    transom_test::privileged!("mount");
    let transom = Path::new(env!("CARGO_BIN_EXE_transom-bench")).with_file_name("transom");
    if !transom.is_file() {
        transom_test::skip!(
            "there is no {}: build the whole workspace",
            transom.display()
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_transom-bench"))
        .args(["--suite", "passthrough", "--only", "read-sequential,create"])
        .args([
            "--smaller",
            "100",
            "--rounds",
            "1",
            "--json",
            "--arm",
            "transom",
        ])
        .args([
            "--arm",
            "passthrough_hp",
            "--passthrough-hp",
            "/nonexistent",
        ])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let missing = report["missing"][0].as_str().unwrap();
    assert!(missing.contains("--passthrough-hp PATH"), "{missing}");

    let [reading, creating] = [0, 1].map(|index| &report["workloads"][index]["arms"]);
    let requests = |arms: &Value, name| {
        let requests = &arm(arms.as_array().unwrap(), name)["requests"];
        requests["by_opcode"].as_str().unwrap().to_owned()
    };
    let by_kernel = requests(reading, "transom");
    assert!(by_kernel.contains("OPEN 1"), "{by_kernel}");
    assert!(!by_kernel.contains("READ"), "{by_kernel}");
    let served = requests(reading, "transom, passthrough=off");
    assert!(served.contains("READ"), "{served}");
    let created = requests(creating, "transom");
    assert!(created.contains("CREATE 100"), "{created}");
}

/// The program itself checks that every call was answered.
#[test]
fn privileged_calls_of_the_control_plane_are_measured() {
    transom_test::privileged!("have a mount namespace");
    let output = Command::new(env!("CARGO_BIN_EXE_transom-bench"))
        .args(["--suite", "control", "--rounds", "1", "--no-pin", "--json"])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (part, clients) in [1, 200, 200].into_iter().enumerate() {
        let part = &report["parts"][part];
        assert_eq!(part["clients"], clients, "{part}");
        assert_eq!(part["calls"], 200, "{part}");
        let [min, max] = ["min", "max"].map(|time| part["latency"][time].as_f64().unwrap());
        assert!(0.0 < min && min <= max, "{part}");
    }
}

/// The short form of the soak. The program itself checks what is counted, and
/// that memory does not grow.
#[test]
fn privileged_a_daemon_gives_back_what_came_and_went() {
    transom_test::privileged!("mount");
    let transom = Path::new(env!("CARGO_BIN_EXE_transom-bench")).with_file_name("transom");
    if !transom.is_file() {
        transom_test::skip!(
            "there is no {}: build the whole workspace",
            transom.display()
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_transom-bench"))
        .args(["--suite", "daemon", "--no-pin", "--json"])
        .args(["--views", "100", "--volumes", "10", "--cycles", "1000"])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let stages = report["stages"].as_array().unwrap();
    let [empty, .., full, _, end] = &**stages else {
        panic!("{stages:?}");
    };
    let mounts = |stage: &Value| stage["counts"]["mounts"].as_u64().unwrap();
    assert_eq!(full["counts"]["views"], 100, "{full}");
    assert_eq!(mounts(full), mounts(empty) + 10, "{full}");
    assert_eq!(end["counts"], empty["counts"]);
    assert_eq!(report["times"]["mount a volume"]["count"], 10);
    assert_eq!(report["times_beside"]["drop a view"]["count"], 1000);
}

#[test]
fn privileged_an_unknown_part_gets_the_list() {
    transom_test::privileged!("have a mount namespace");
    let output = Command::new(env!("CARGO_BIN_EXE_transom-bench"))
        .args(["--suite", "passthrough", "--only", "seed"])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(complaint.contains("git-status"), "{complaint}");
}
