//! `transom probe`: what modules recognize in resources.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueHint;
use comfy_table::{Table, presets};
use transom_control::host::{Finding, Probe, Verdict};

use crate::daemon::{self, Places};
use crate::streams::{print_line, print_text};

/// Tell what modules recognize in files, directories and devices.
///
/// A resource may be a member of a container, as it says itself: then it is told
/// which, and which members are missing besides.
#[derive(Debug, clap::Args)]
pub(crate) struct ProbeArguments {
    /// What to look at. Together, so that members of one container find each
    /// other.
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    resources: Vec<PathBuf>,
    /// Ask this module alone.
    #[arg(long, short)]
    module: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn probe(arguments: &ProbeArguments) -> anyhow::Result<ExitCode> {
    let mut places = Places::default();
    let call = Probe {
        module: arguments.module.clone(),
        resources: places.add_all(&arguments.resources)?,
    };
    let findings = daemon::call_with(&mut daemon::connect()?, &call, &places)?.findings;
    if arguments.json {
        print_line(serde_json::to_string_pretty(&findings)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "RESOURCE",
        "MODULE",
        "IS",
        "CONTAINER",
        "MISSING",
    ]);
    for finding in &findings {
        table.add_row(row(&arguments.resources, finding));
    }
    print_text(table)?;
    Ok(ExitCode::SUCCESS)
}

fn row(resources: &[PathBuf], finding: &Finding) -> [String; 5] {
    let resource = resources.get(finding.resource as usize);
    let path = resource.map_or_else(String::new, |path| path.display().to_string());
    let (is, container, missing) = match (&finding.verdict, &finding.membership) {
        (Verdict::Member, Some(member)) => {
            let missing = member.missing.iter().map(u32::to_string);
            (
                format!("member {} of {}", member.index, member.of),
                format!("{} {}", member.name, member.container),
                missing.collect::<Vec<_>>().join(" "),
            )
        }
        (Verdict::NotRecognized, _) => ("nothing it knows".into(), String::new(), String::new()),
        _ => ("a container".into(), String::new(), String::new()),
    };
    [path, finding.module.clone(), is, container, missing]
}
