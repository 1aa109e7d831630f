"""Rules that compile without Bazel's C++ toolchain, which needs the network."""

VARIANTS = {"static": "", "pic": "-fPIC "}
PATH = {"PATH": "/usr/bin:/bin"}

def _objects_impl(ctx):
    objects = []
    common = depset([ctx.file.configuration] + ctx.files.headers)
    for kind, flags in VARIANTS.items():
        if kind not in ctx.attr.variants:
            continue
        for source in ctx.files.sources:
            path = "%s/%s" % (kind, source.path.replace("/", "_").replace(".c", ".o"))
            output = ctx.actions.declare_file(path)
            ctx.actions.run_shell(
                inputs = depset([source], transitive = [common]),
                outputs = [output],
                env = PATH,
                mnemonic = "Compile",
                command = "gcc -c %s%s -I%s -o %s %s" % (
                    flags,
                    " ".join(ctx.attr.options),
                    ctx.file.configuration.dirname,
                    output.path,
                    source.path,
                ),
            )
            objects.append(output)
    archive = ctx.actions.declare_file("libgit2.a")
    ctx.actions.run_shell(
        inputs = objects,
        outputs = [archive],
        env = PATH,
        mnemonic = "Archive",
        command = "ar rcsD %s %s" % (
            archive.path,
            " ".join([o.path for o in objects if "/static/" in o.path]),
        ),
    )
    return [DefaultInfo(files = depset([archive] + objects))]

objects = rule(
    implementation = _objects_impl,
    attrs = {
        "configuration": attr.label(allow_single_file = True),
        "headers": attr.label_list(allow_files = True),
        "options": attr.string_list(),
        "sources": attr.label_list(allow_files = True),
        "variants": attr.string_list(),
    },
)

def _probes_impl(ctx):
    link = ctx.actions.declare_file("linked.txt")
    ctx.actions.symlink(output = link, target_file = ctx.file.top)
    output = ctx.actions.declare_file("probes.txt")
    ctx.actions.run_shell(
        inputs = [link, ctx.file.top, ctx.file.below, ctx.file.elsewhere, ctx.file.script],
        outputs = [output],
        env = PATH,
        mnemonic = "Probe",
        command = "sh %s %s %s %s %s > %s" % (
            ctx.file.script.path,
            ctx.file.top.path,
            ctx.file.below.path,
            ctx.file.elsewhere.path,
            link.path,
            output.path,
        ),
    )
    return [DefaultInfo(files = depset([output]))]

probes = rule(
    implementation = _probes_impl,
    attrs = {
        "below": attr.label(allow_single_file = True),
        "elsewhere": attr.label(allow_single_file = True),
        "script": attr.label(allow_single_file = True),
        "top": attr.label(allow_single_file = True),
    },
)
