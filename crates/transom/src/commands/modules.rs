//! `transom modules`: which there are, and which may be loaded.

use std::process::ExitCode;

use clap::Subcommand;
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use transom_module::ModuleManifest;

use crate::modules;
use crate::streams::print_line;

/// List the modules, and enable or disable them.
///
/// A module makes something that can be mounted of a resource. What a disabled
/// module has loaded stays mounted; it loads nothing more, by whatever way.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ModulesArguments {
    #[command(subcommand)]
    command: Option<ModulesCommand>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ModulesCommand {
    /// Let a module be loaded, from now on and after a restart.
    Enable {
        /// The module.
        module: String,
    },
    /// Let a module not be loaded any more.
    Disable {
        /// The module.
        module: String,
    },
}

pub(crate) fn modules(arguments: &ModulesArguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        None => list(arguments.json)?,
        Some(ModulesCommand::Enable { module }) => set_enabled(module, true)?,
        Some(ModulesCommand::Disable { module }) => set_enabled(module, false)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn set_enabled(module: &str, enabled: bool) -> anyhow::Result<()> {
    modules::built_in().manifest(module)?;
    Ok(modules::enablement().set(module, enabled)?)
}

fn list(as_json: bool) -> anyhow::Result<()> {
    let enablement = modules::enablement();
    let mut rows = Vec::new();
    for manifest in modules::built_in().manifests() {
        let is_enabled = enablement.is_enabled(manifest.name)?;
        rows.push((manifest, is_enabled));
    }
    if as_json {
        let rows: Vec<_> = rows.iter().map(to_json).collect();
        return print_line(serde_json::to_string_pretty(&rows)?);
    }
    let mut table = Table::new();
    let head = [
        "MODULE",
        "VERSION",
        "ENABLED",
        "LOADS",
        "CAPABILITIES",
        "SUMMARY",
    ];
    table.load_style(presets::NOTHING).set_header(head);
    for (manifest, is_enabled) in rows {
        table.add_row([
            manifest.name.to_owned(),
            manifest.version.to_owned(),
            if is_enabled { "yes" } else { "no" }.to_owned(),
            resources(&manifest).join("\n"),
            manifest.capabilities.join("\n"),
            manifest.summary.to_owned(),
        ]);
    }
    for line in table.lines() {
        print_line(line.strip_prefix(' ').unwrap_or(&line).trim_end())?;
    }
    Ok(())
}

fn resources(manifest: &ModuleManifest) -> Vec<String> {
    manifest.resources.iter().map(ToString::to_string).collect()
}

fn to_json((manifest, is_enabled): &(ModuleManifest, bool)) -> Value {
    let options = manifest.options.iter();
    let options = options.map(|(name, meaning)| json!({ "name": name, "meaning": meaning }));
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "summary": manifest.summary,
        "enabled": is_enabled,
        "resources": resources(manifest),
        "capabilities": manifest.capabilities,
        "options": options.collect::<Vec<_>>(),
    })
}
