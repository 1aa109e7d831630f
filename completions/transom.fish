# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_transom_global_optspecs
    string join \n h/help V/version
end

function __fish_transom_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_transom_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_transom_using_subcommand
    set -l cmd (__fish_transom_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c transom -n "__fish_transom_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_needs_command" -s V -l version -d 'Print version'
complete -c transom -n "__fish_transom_needs_command" -f -a "run" -d 'Run a command in a view of its declared inputs'
complete -c transom -n "__fish_transom_needs_command" -f -a "view" -d 'Look at running views and change them while they are used'
complete -c transom -n "__fish_transom_needs_command" -f -a "explain" -d 'Say why a path exists in a view, or why it does not'
complete -c transom -n "__fish_transom_needs_command" -f -a "wrap" -d 'Learn what a command needs and makes, and run it with exactly that'
complete -c transom -n "__fish_transom_needs_command" -f -a "mount" -d 'Mount what a module makes of a resource'
complete -c transom -n "__fish_transom_needs_command" -f -a "modules" -d 'List the modules, and enable or disable them'
complete -c transom -n "__fish_transom_needs_command" -f -a "serve" -d 'Run the daemon, which other commands and other programs talk to'
complete -c transom -n "__fish_transom_needs_command" -f -a "status" -d 'Show what the daemon has loaded, mounted and published, and what it works on'
complete -c transom -n "__fish_transom_needs_command" -f -a "top" -d 'Show what the daemon is doing, again and again'
complete -c transom -n "__fish_transom_needs_command" -f -a "probe" -d 'Tell what modules recognize in files, directories and devices'
complete -c transom -n "__fish_transom_needs_command" -f -a "load" -d 'Have the daemon load files, directories or devices'
complete -c transom -n "__fish_transom_needs_command" -f -a "offer" -d 'Tell the daemon that resources have appeared'
complete -c transom -n "__fish_transom_needs_command" -f -a "unload" -d 'Have the daemon give resources back, after everything is on them'
complete -c transom -n "__fish_transom_needs_command" -f -a "volume" -d 'Mount, make and remove volumes of what the daemon has loaded'
complete -c transom -n "__fish_transom_needs_command" -f -a "block" -d 'Publish volumes as disks'
complete -c transom -n "__fish_transom_needs_command" -f -a "task" -d 'Start, watch and steer long work of the daemon'
complete -c transom -n "__fish_transom_needs_command" -f -a "check" -d 'Have the daemon examine resources that are not loaded, as fsck(8) does'
complete -c transom -n "__fish_transom_needs_command" -f -a "format" -d 'Have the daemon make resources loadable, as mkfs(8) does. What was on them is lost'
complete -c transom -n "__fish_transom_needs_command" -f -a "events" -d 'Print what happens to containers, line by line, until interrupted'
complete -c transom -n "__fish_transom_needs_command" -f -a "cleanup" -d 'Remove mounts, loop devices and the like that a killed daemon has left'
complete -c transom -n "__fish_transom_needs_command" -f -a "sync" -d 'Bring whole volumes to stable storage'
complete -c transom -n "__fish_transom_needs_command" -f -a "label" -d 'Print the name of a volume, or change it'
complete -c transom -n "__fish_transom_needs_command" -f -a "install-helper" -d 'Let mount(8) and /etc/fstab mount with transom.'
complete -c transom -n "__fish_transom_needs_command" -f -a "bazel-sandbox" -d 'Be a sandbox backend for Bazel'
complete -c transom -n "__fish_transom_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c transom -n "__fish_transom_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand run" -s m -l manifest -d 'Declare the action in a file (`-`: standard input). See docs/manifest.md' -r -F
complete -c transom -n "__fish_transom_using_subcommand run" -l ro -d 'Map a host file, or a host directory as a whole. PATH is followed if it is a symbolic link' -r -F
complete -c transom -n "__fish_transom_using_subcommand run" -l symlink -d 'Make a symbolic link' -r
complete -c transom -n "__fish_transom_using_subcommand run" -l empty-directory -d 'Make an empty directory' -r
complete -c transom -n "__fish_transom_using_subcommand run" -l file-list -d 'Map the host files that a file lists, one path per line' -r -F
complete -c transom -n "__fish_transom_using_subcommand run" -l file-list0 -d 'Map the host files that a file lists, each path ended by a NUL byte' -r -F
complete -c transom -n "__fish_transom_using_subcommand run" -l depfile -d 'Map the prerequisites that a depfile of a compiler names' -r -F
complete -c transom -n "__fish_transom_using_subcommand run" -l out -d 'A directory the action makes. It replaces PATH when the command succeeds' -r -f -a "(__fish_complete_directories)"
complete -c transom -n "__fish_transom_using_subcommand run" -l out-file -d 'A file the action makes. It is moved to PATH when the command succeeds' -r -F
complete -c transom -n "__fish_transom_using_subcommand run" -l writable -d 'A directory the action may write to, whose content is thrown away' -r
complete -c transom -n "__fish_transom_using_subcommand run" -l scratch -d 'Where scratch directories are made. Outputs are moved by renaming if their destination is on the same volume, and copied otherwise. [default: beside the first output, and outside of directories that are declared as a whole]' -r -f -a "(__fish_complete_directories)"
complete -c transom -n "__fish_transom_using_subcommand run" -l root -d 'What the action sees as its root. [default: view]' -r -f -a "view\t'The view and nothing else'
host-ro\t'The host\'s root, read-only, with the view mounted in it'"
complete -c transom -n "__fish_transom_using_subcommand run" -l mount-at -d 'With `--root host-ro`, the existing host directory that the view hides. [default: the current directory]' -r -f -a "(__fish_complete_directories)"
complete -c transom -n "__fish_transom_using_subcommand run" -s C -l workdir -d 'Where in the view the command starts. [default: `work` with flags only, the manifest\'s otherwise]' -r
complete -c transom -n "__fish_transom_using_subcommand run" -s e -l env -d 'Set an environment variable' -r
complete -c transom -n "__fish_transom_using_subcommand run" -l inherit-env -d 'Take an environment variable over, or all of them (`all`)' -r
complete -c transom -n "__fish_transom_using_subcommand run" -l tmp -d 'What is at /tmp. [default: memory]' -r -f -a "memory\t'A private file system in memory'
scratch\t'A scratch directory on the host\'s disk'
none\t'What the view declares there, or nothing'"
complete -c transom -n "__fish_transom_using_subcommand run" -l timeout -d 'End the action after that many seconds' -r
complete -c transom -n "__fish_transom_using_subcommand run" -l engine -d 'What makes the view: `fuse` (names are answered by transom, bytes are read by the kernel) or `mounts` (bind mounts; the kernel does all)' -r -f -a "auto\t'Whichever does what is asked for at the least cost'
fuse\t'FUSE with passthrough'
mounts\t'Bind mounts'"
complete -c transom -n "__fish_transom_using_subcommand run" -l on-change -d 'What to do when an input is changed in place, or deleted, while the action runs. One that is replaced by renaming is no change: the action goes on seeing the old one. See docs/semantics.md' -r -f -a "refuse\t'Say so, and fail. With engine `fuse`, opening it fails too'
report\t'Say so'
ignore\t'Do not look'"
complete -c transom -n "__fish_transom_using_subcommand run" -l name -d 'What `transom view` calls this view. Needs engine `fuse`. [default: the process id]' -r
complete -c transom -n "__fish_transom_using_subcommand run" -l daemon -d 'Whether the daemon of the machine serves the view, if the engine is `fuse`: then the kernel reads the bytes for users without privilege too. `auto` asks it for them alone, and does without if there is none' -r -f -a "auto\t'If this user gets no passthrough by himself, and it is there'
never\t'No'
require\t'Yes, or the command does not run'"
complete -c transom -n "__fish_transom_using_subcommand run" -l control-fd -d 'Hand the command a connection to the view\'s control interface as this descriptor, so that it can change its own view. Needs engine `fuse`' -r
complete -c transom -n "__fish_transom_using_subcommand run" -l report -d 'Write the summary to a file instead' -r -F
complete -c transom -n "__fish_transom_using_subcommand run" -l trace -d 'Write which inputs were read, only looked at, or never touched, and which absent names were asked for (JSON, see docs/trace.md). Needs engine `fuse`' -r -F
complete -c transom -n "__fish_transom_using_subcommand run" -l unused-inputs-list -d 'Write the declared inputs that were never touched, one per line: Bazel\'s `unused_inputs_list`. Needs engine `fuse`' -r -F
complete -c transom -n "__fish_transom_using_subcommand run" -l trace-depfile -d 'Write the files that were read or looked at as a depfile. Needs engine `fuse`' -r -F
complete -c transom -n "__fish_transom_using_subcommand run" -l replace -d 'Let outputs replace what is otherwise refused: a directory that is not empty and was not made by an earlier run, and a file that is an input'
complete -c transom -n "__fish_transom_using_subcommand run" -l keep-links -d 'Let a file output be a symbolic link, and links in outputs lead out of them: `libx.so -> libx.so.1`, or the interpreter of a Python venv'
complete -c transom -n "__fish_transom_using_subcommand run" -l keep-failed -d 'Keep the scratch directory for inspection when the action fails'
complete -c transom -n "__fish_transom_using_subcommand run" -l network -d 'Let the action use the host\'s network'
complete -c transom -n "__fish_transom_using_subcommand run" -l no-proc -d 'Leave out /proc'
complete -c transom -n "__fish_transom_using_subcommand run" -l no-dev -d 'Leave out /dev'
complete -c transom -n "__fish_transom_using_subcommand run" -l stats -d 'Print requests, opens, sizes and times when the action has ended. [default: a short summary if standard error is a terminal]'
complete -c transom -n "__fish_transom_using_subcommand run" -l json -d 'Print the summary as JSON, on standard error or to `--report FILE`'
complete -c transom -n "__fish_transom_using_subcommand run" -s q -l quiet -d 'Print no summary'
complete -c transom -n "__fish_transom_using_subcommand run" -l dry-run -d 'Check everything and print the view, without running the command'
complete -c transom -n "__fish_transom_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand view; and not __fish_seen_subcommand_from list add replace withdraw redirect apply trace stats help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand view; and not __fish_seen_subcommand_from list add replace withdraw redirect apply trace stats help" -f -a "list" -d 'List the running views'
complete -c transom -n "__fish_transom_using_subcommand view; and not __fish_seen_subcommand_from list add replace withdraw redirect apply trace stats help" -f -a "add" -d 'Declare a name that does not exist yet'
complete -c transom -n "__fish_transom_using_subcommand view; and not __fish_seen_subcommand_from list add replace withdraw redirect apply trace stats help" -f -a "replace" -d 'Let a name that exists stand for something else'
complete -c transom -n "__fish_transom_using_subcommand view; and not __fish_seen_subcommand_from list add replace withdraw redirect apply trace stats help" -f -a "withdraw" -d 'Take names away, with everything below them'
complete -c transom -n "__fish_transom_using_subcommand view; and not __fish_seen_subcommand_from list add replace withdraw redirect apply trace stats help" -f -a "redirect" -d 'Point a name that stands for a file at another host file'
complete -c transom -n "__fish_transom_using_subcommand view; and not __fish_seen_subcommand_from list add replace withdraw redirect apply trace stats help" -f -a "apply" -d 'Apply many changes, which become visible at once'
complete -c transom -n "__fish_transom_using_subcommand view; and not __fish_seen_subcommand_from list add replace withdraw redirect apply trace stats help" -f -a "trace" -d 'Print which inputs were used so far (JSON). The view has to be traced'
complete -c transom -n "__fish_transom_using_subcommand view; and not __fish_seen_subcommand_from list add replace withdraw redirect apply trace stats help" -f -a "stats" -d 'Print the requests so far (JSON); those to all views, if the daemon serves it'
complete -c transom -n "__fish_transom_using_subcommand view; and not __fish_seen_subcommand_from list add replace withdraw redirect apply trace stats help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from add" -l symlink -d 'A symbolic link with this target' -r
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from add" -l executable -d 'Override the executable bits of the file' -r -f -a "true\t''
false\t''"
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from add" -l empty-directory -d 'An empty directory'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from replace" -l symlink -d 'A symbolic link with this target' -r
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from replace" -l executable -d 'Override the executable bits of the file' -r -f -a "true\t''
false\t''"
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from replace" -l empty-directory -d 'An empty directory'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from replace" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from withdraw" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from redirect" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from apply" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from trace" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from stats" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the running views'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from help" -f -a "add" -d 'Declare a name that does not exist yet'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from help" -f -a "replace" -d 'Let a name that exists stand for something else'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from help" -f -a "withdraw" -d 'Take names away, with everything below them'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from help" -f -a "redirect" -d 'Point a name that stands for a file at another host file'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from help" -f -a "apply" -d 'Apply many changes, which become visible at once'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from help" -f -a "trace" -d 'Print which inputs were used so far (JSON). The view has to be traced'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from help" -f -a "stats" -d 'Print the requests so far (JSON); those to all views, if the daemon serves it'
complete -c transom -n "__fish_transom_using_subcommand view; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand explain" -l json -d 'Print JSON'
complete -c transom -n "__fish_transom_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand wrap; and not __fish_seen_subcommand_from learn enforce help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand wrap; and not __fish_seen_subcommand_from learn enforce help" -f -a "learn" -d 'Run a command in a view of everything, and write what it needed and made'
complete -c transom -n "__fish_transom_using_subcommand wrap; and not __fish_seen_subcommand_from learn enforce help" -f -a "enforce" -d 'Run a command in a view of exactly what a manifest declares, and tell what it missed'
complete -c transom -n "__fish_transom_using_subcommand wrap; and not __fish_seen_subcommand_from learn enforce help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from learn" -s m -l manifest -d 'Write a manifest: what `wrap enforce` and `transom run` take. Not written if the command fails' -r -F
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from learn" -l depfile -d 'Write a depfile, for make and ninja. Not written if the command fails' -r -F
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from learn" -l target -d 'The target that the depfile names. [default: the first file the command made, or `action` if it made none]' -r
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from learn" -l report -d 'Write a report as a page for browsers, in one file' -r -F
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from learn" -l trace -d 'Write every name that was asked for (JSON, see docs/trace.md)' -r -F
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from learn" -l against -d 'Report what this manifest declares differently' -r -F
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from learn" -l whole -d 'Declare a directory as a whole if anything in it was used, instead of name by name' -r -f -a "(__fish_complete_directories)"
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from learn" -l discard -d 'Take a file, or what the command makes in a directory, for no output: incremental state, caches, files with random names. It will be able to write there' -r -F
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from learn" -l network -d 'Let the command use the host\'s network; the manifest then does too'
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from learn" -s q -l quiet -d 'Print no report'
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from learn" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from enforce" -s m -l manifest -d 'The manifest' -r -F
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from enforce" -l report -d 'Write a report as a page for browsers, in one file' -r -F
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from enforce" -l trace -d 'Write the trace of the view (JSON, see docs/trace.md)' -r -F
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from enforce" -l keep-failed -d 'Keep the scratch directory for inspection when the command fails'
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from enforce" -s q -l quiet -d 'Print no report'
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from enforce" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from help" -f -a "learn" -d 'Run a command in a view of everything, and write what it needed and made'
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from help" -f -a "enforce" -d 'Run a command in a view of exactly what a manifest declares, and tell what it missed'
complete -c transom -n "__fish_transom_using_subcommand wrap; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand mount" -s o -l options -d 'Mount options, separated by commas; see below' -r
complete -c transom -n "__fish_transom_using_subcommand mount" -l passthrough -d 'Who moves the bytes of files: the same as `-o passthrough=`' -r -f -a "auto\t'The kernel, if it lets this process say so'
ro\t'The kernel for files that are opened to be read, transom for others'
rw\t'The kernel'
off\t'Transom'"
complete -c transom -n "__fish_transom_using_subcommand mount" -l log -d 'Append what is logged to a file: the same as `-o log=`' -r -F
complete -c transom -n "__fish_transom_using_subcommand mount" -s N -l namespace -d 'Mount in another mount namespace, such as `/proc/PID/ns/mnt`' -r -F
complete -c transom -n "__fish_transom_using_subcommand mount" -s r -l read-only -d 'Mount read-only: the same as `-o ro`'
complete -c transom -n "__fish_transom_using_subcommand mount" -l foreground -d 'Serve in this process. Ctrl-C unmounts'
complete -c transom -n "__fish_transom_using_subcommand mount" -s f -l force -d 'Format the resource first if the module does not recognize it. No module can so far'
complete -c transom -n "__fish_transom_using_subcommand mount" -l background-server -d 'Be the process in the background'
complete -c transom -n "__fish_transom_using_subcommand mount" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand modules; and not __fish_seen_subcommand_from enable disable help" -l json -d 'Print JSON'
complete -c transom -n "__fish_transom_using_subcommand modules; and not __fish_seen_subcommand_from enable disable help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand modules; and not __fish_seen_subcommand_from enable disable help" -f -a "enable" -d 'Let a module be loaded, from now on and after a restart'
complete -c transom -n "__fish_transom_using_subcommand modules; and not __fish_seen_subcommand_from enable disable help" -f -a "disable" -d 'Let a module not be loaded any more'
complete -c transom -n "__fish_transom_using_subcommand modules; and not __fish_seen_subcommand_from enable disable help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand modules; and __fish_seen_subcommand_from enable" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand modules; and __fish_seen_subcommand_from disable" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand modules; and __fish_seen_subcommand_from help" -f -a "enable" -d 'Let a module be loaded, from now on and after a restart'
complete -c transom -n "__fish_transom_using_subcommand modules; and __fish_seen_subcommand_from help" -f -a "disable" -d 'Let a module not be loaded any more'
complete -c transom -n "__fish_transom_using_subcommand modules; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand serve" -l socket -d 'Where to listen, instead of the socket of the machine' -r -F
complete -c transom -n "__fish_transom_using_subcommand serve" -l state -d 'A directory, for this daemon alone, for what outlives it' -r -f -a "(__fish_complete_directories)"
complete -c transom -n "__fish_transom_using_subcommand serve" -l policy -d 'The file that says who may do what, instead of the machine\'s, /etc/transom/policy.toml' -r -F
complete -c transom -n "__fish_transom_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand status" -l json -d 'Print JSON'
complete -c transom -n "__fish_transom_using_subcommand status" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand top" -s d -l delay -d 'How often to look, in seconds' -r
complete -c transom -n "__fish_transom_using_subcommand top" -s n -l iterations -d 'How many times to look; without, until interrupted' -r
complete -c transom -n "__fish_transom_using_subcommand top" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand probe" -s m -l module -d 'Ask this module alone' -r
complete -c transom -n "__fish_transom_using_subcommand probe" -l json -d 'Print JSON'
complete -c transom -n "__fish_transom_using_subcommand probe" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand load" -s o -l option -d 'Options of the module, with commas between: `transom modules` lists them' -r
complete -c transom -n "__fish_transom_using_subcommand load" -l cache -d 'How much memory it may use to keep what it could read again, such as `512M`' -r
complete -c transom -n "__fish_transom_using_subcommand load" -l read-only -d 'Change nothing on the resources'
complete -c transom -n "__fish_transom_using_subcommand load" -l degraded -d 'Load although members are missing, with what can be had without them'
complete -c transom -n "__fish_transom_using_subcommand load" -l json -d 'Print JSON'
complete -c transom -n "__fish_transom_using_subcommand load" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand offer" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand unload" -l force -d 'Unmount and withdraw what is used of it; its users get errors'
complete -c transom -n "__fish_transom_using_subcommand unload" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand volume; and not __fish_seen_subcommand_from list create rename resize remove mount unmount sync stats help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand volume; and not __fish_seen_subcommand_from list create rename resize remove mount unmount sync stats help" -f -a "list" -d 'List volumes'
complete -c transom -n "__fish_transom_using_subcommand volume; and not __fish_seen_subcommand_from list create rename resize remove mount unmount sync stats help" -f -a "create" -d 'Make a volume, and print its id'
complete -c transom -n "__fish_transom_using_subcommand volume; and not __fish_seen_subcommand_from list create rename resize remove mount unmount sync stats help" -f -a "rename" -d 'Give a volume another name'
complete -c transom -n "__fish_transom_using_subcommand volume; and not __fish_seen_subcommand_from list create rename resize remove mount unmount sync stats help" -f -a "resize" -d 'Give a volume another size. What is beyond a smaller one is lost'
complete -c transom -n "__fish_transom_using_subcommand volume; and not __fish_seen_subcommand_from list create rename resize remove mount unmount sync stats help" -f -a "remove" -d 'Remove a volume, with what it contains'
complete -c transom -n "__fish_transom_using_subcommand volume; and not __fish_seen_subcommand_from list create rename resize remove mount unmount sync stats help" -f -a "mount" -d 'Mount a volume on a directory'
complete -c transom -n "__fish_transom_using_subcommand volume; and not __fish_seen_subcommand_from list create rename resize remove mount unmount sync stats help" -f -a "unmount" -d 'Unmount a volume everywhere, after everything is on the resources'
complete -c transom -n "__fish_transom_using_subcommand volume; and not __fish_seen_subcommand_from list create rename resize remove mount unmount sync stats help" -f -a "sync" -d 'Bring everything that was written to a container on its resources'
complete -c transom -n "__fish_transom_using_subcommand volume; and not __fish_seen_subcommand_from list create rename resize remove mount unmount sync stats help" -f -a "stats" -d 'Print the requests of the kernel to a mounted volume (JSON)'
complete -c transom -n "__fish_transom_using_subcommand volume; and not __fish_seen_subcommand_from list create rename resize remove mount unmount sync stats help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from create" -l size -d 'Its size, such as `10G`, if volumes of the container have one' -r
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from rename" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from resize" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from mount" -s o -l option -d 'Options of mount(8): `ro`, `noexec`, `noatime` and the like' -r
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from mount" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from unmount" -l mode -d 'What becomes of those who use it' -r -f -a "orderly\t'They keep it from being unmounted'
detach\t'They go on, and nobody else sees it'
abort\t'They get errors'"
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from unmount" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from sync" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from stats" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from help" -f -a "list" -d 'List volumes'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make a volume, and print its id'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from help" -f -a "rename" -d 'Give a volume another name'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from help" -f -a "resize" -d 'Give a volume another size. What is beyond a smaller one is lost'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Remove a volume, with what it contains'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from help" -f -a "mount" -d 'Mount a volume on a directory'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from help" -f -a "unmount" -d 'Unmount a volume everywhere, after everything is on the resources'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from help" -f -a "sync" -d 'Bring everything that was written to a container on its resources'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from help" -f -a "stats" -d 'Print the requests of the kernel to a mounted volume (JSON)'
complete -c transom -n "__fish_transom_using_subcommand volume; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand block; and not __fish_seen_subcommand_from list publish withdraw help" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand block; and not __fish_seen_subcommand_from list publish withdraw help" -f -a "list" -d 'List what is published'
complete -c transom -n "__fish_transom_using_subcommand block; and not __fish_seen_subcommand_from list publish withdraw help" -f -a "publish" -d 'Publish a volume, and print where the disk is'
complete -c transom -n "__fish_transom_using_subcommand block; and not __fish_seen_subcommand_from list publish withdraw help" -f -a "withdraw" -d 'Take a disk away, after everything was flushed'
complete -c transom -n "__fish_transom_using_subcommand block; and not __fish_seen_subcommand_from list publish withdraw help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand block; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c transom -n "__fish_transom_using_subcommand block; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand block; and __fish_seen_subcommand_from publish" -l as -d 'As what' -r -f -a "loop\t'A loop device of this machine'
nbd\t'A socket of the network block device protocol'
ublk\t'A device that the daemon answers for, where the kernel has ublk'"
complete -c transom -n "__fish_transom_using_subcommand block; and __fish_seen_subcommand_from publish" -l read-only -d 'Nothing can be written'
complete -c transom -n "__fish_transom_using_subcommand block; and __fish_seen_subcommand_from publish" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand block; and __fish_seen_subcommand_from withdraw" -l force -d 'Even while it is used; its users get errors'
complete -c transom -n "__fish_transom_using_subcommand block; and __fish_seen_subcommand_from withdraw" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand block; and __fish_seen_subcommand_from help" -f -a "list" -d 'List what is published'
complete -c transom -n "__fish_transom_using_subcommand block; and __fish_seen_subcommand_from help" -f -a "publish" -d 'Publish a volume, and print where the disk is'
complete -c transom -n "__fish_transom_using_subcommand block; and __fish_seen_subcommand_from help" -f -a "withdraw" -d 'Take a disk away, after everything was flushed'
complete -c transom -n "__fish_transom_using_subcommand block; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand task; and not __fish_seen_subcommand_from list start watch pause resume cancel help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand task; and not __fish_seen_subcommand_from list start watch pause resume cancel help" -f -a "list" -d 'List work that is being done, and that has ended lately'
complete -c transom -n "__fish_transom_using_subcommand task; and not __fish_seen_subcommand_from list start watch pause resume cancel help" -f -a "start" -d 'Start work that a container has to do, and watch it'
complete -c transom -n "__fish_transom_using_subcommand task; and not __fish_seen_subcommand_from list start watch pause resume cancel help" -f -a "watch" -d 'Watch a task to its end'
complete -c transom -n "__fish_transom_using_subcommand task; and not __fish_seen_subcommand_from list start watch pause resume cancel help" -f -a "pause" -d 'Have a task stand still'
complete -c transom -n "__fish_transom_using_subcommand task; and not __fish_seen_subcommand_from list start watch pause resume cancel help" -f -a "resume" -d 'Have a task go on'
complete -c transom -n "__fish_transom_using_subcommand task; and not __fish_seen_subcommand_from list start watch pause resume cancel help" -f -a "cancel" -d 'Have a task end'
complete -c transom -n "__fish_transom_using_subcommand task; and not __fish_seen_subcommand_from list start watch pause resume cancel help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from start" -s o -l option -d 'Options of the work, with commas between' -r
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from start" -l detach -d 'Print the id of the task, and do not watch it'
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from watch" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from pause" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from resume" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from cancel" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "list" -d 'List work that is being done, and that has ended lately'
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "start" -d 'Start work that a container has to do, and watch it'
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "watch" -d 'Watch a task to its end'
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "pause" -d 'Have a task stand still'
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "resume" -d 'Have a task go on'
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "cancel" -d 'Have a task end'
complete -c transom -n "__fish_transom_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand check" -s o -l option -d 'Options of the module, with commas between' -r
complete -c transom -n "__fish_transom_using_subcommand check" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand format" -s o -l option -d 'Options of the module, with commas between' -r
complete -c transom -n "__fish_transom_using_subcommand format" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand events" -l since -d 'Everything after this event, written `STREAM:NUMBER`; `0`: all that is kept' -r
complete -c transom -n "__fish_transom_using_subcommand events" -l json -d 'Print JSON, one object a line'
complete -c transom -n "__fish_transom_using_subcommand events" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand cleanup" -l state -d 'The directory that the daemon was given for its state' -r -f -a "(__fish_complete_directories)"
complete -c transom -n "__fish_transom_using_subcommand cleanup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand sync" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand label" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand install-helper" -l root -d 'Link into `sbin` of that directory instead, which has to exist' -r -f -a "(__fish_complete_directories)"
complete -c transom -n "__fish_transom_using_subcommand install-helper" -l remove -d 'Remove the links'
complete -c transom -n "__fish_transom_using_subcommand install-helper" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand bazel-sandbox; and not __fish_seen_subcommand_from serve enter help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand bazel-sandbox; and not __fish_seen_subcommand_from serve enter help" -s V -l version -d 'Print version'
complete -c transom -n "__fish_transom_using_subcommand bazel-sandbox; and not __fish_seen_subcommand_from serve enter help" -f -a "serve" -d 'Serve requests on standard input until it ends'
complete -c transom -n "__fish_transom_using_subcommand bazel-sandbox; and not __fish_seen_subcommand_from serve enter help" -f -a "enter" -d 'Run a command in a sandbox: what Bazel puts before each command'
complete -c transom -n "__fish_transom_using_subcommand bazel-sandbox; and not __fish_seen_subcommand_from serve enter help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand bazel-sandbox; and __fish_seen_subcommand_from serve" -l workspace -d 'The exec root of the workspace, in which actions start, such as OUTPUT_BASE/execroot/_main' -r -f -a "(__fish_complete_directories)"
complete -c transom -n "__fish_transom_using_subcommand bazel-sandbox; and __fish_seen_subcommand_from serve" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand bazel-sandbox; and __fish_seen_subcommand_from enter" -s h -l help -d 'Print help'
complete -c transom -n "__fish_transom_using_subcommand bazel-sandbox; and __fish_seen_subcommand_from help" -f -a "serve" -d 'Serve requests on standard input until it ends'
complete -c transom -n "__fish_transom_using_subcommand bazel-sandbox; and __fish_seen_subcommand_from help" -f -a "enter" -d 'Run a command in a sandbox: what Bazel puts before each command'
complete -c transom -n "__fish_transom_using_subcommand bazel-sandbox; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "run" -d 'Run a command in a view of its declared inputs'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "view" -d 'Look at running views and change them while they are used'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "explain" -d 'Say why a path exists in a view, or why it does not'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "wrap" -d 'Learn what a command needs and makes, and run it with exactly that'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "mount" -d 'Mount what a module makes of a resource'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "modules" -d 'List the modules, and enable or disable them'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "serve" -d 'Run the daemon, which other commands and other programs talk to'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "status" -d 'Show what the daemon has loaded, mounted and published, and what it works on'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "top" -d 'Show what the daemon is doing, again and again'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "probe" -d 'Tell what modules recognize in files, directories and devices'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "load" -d 'Have the daemon load files, directories or devices'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "offer" -d 'Tell the daemon that resources have appeared'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "unload" -d 'Have the daemon give resources back, after everything is on them'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "volume" -d 'Mount, make and remove volumes of what the daemon has loaded'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "block" -d 'Publish volumes as disks'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "task" -d 'Start, watch and steer long work of the daemon'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "check" -d 'Have the daemon examine resources that are not loaded, as fsck(8) does'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "format" -d 'Have the daemon make resources loadable, as mkfs(8) does. What was on them is lost'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "events" -d 'Print what happens to containers, line by line, until interrupted'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "cleanup" -d 'Remove mounts, loop devices and the like that a killed daemon has left'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "sync" -d 'Bring whole volumes to stable storage'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "label" -d 'Print the name of a volume, or change it'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "install-helper" -d 'Let mount(8) and /etc/fstab mount with transom.'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "bazel-sandbox" -d 'Be a sandbox backend for Bazel'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "completions" -d 'Print a completion script for a shell'
complete -c transom -n "__fish_transom_using_subcommand help; and not __fish_seen_subcommand_from run view explain wrap mount modules serve status top probe load offer unload volume block task check format events cleanup sync label install-helper bazel-sandbox completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from view" -f -a "list" -d 'List the running views'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from view" -f -a "add" -d 'Declare a name that does not exist yet'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from view" -f -a "replace" -d 'Let a name that exists stand for something else'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from view" -f -a "withdraw" -d 'Take names away, with everything below them'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from view" -f -a "redirect" -d 'Point a name that stands for a file at another host file'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from view" -f -a "apply" -d 'Apply many changes, which become visible at once'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from view" -f -a "trace" -d 'Print which inputs were used so far (JSON). The view has to be traced'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from view" -f -a "stats" -d 'Print the requests so far (JSON); those to all views, if the daemon serves it'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from wrap" -f -a "learn" -d 'Run a command in a view of everything, and write what it needed and made'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from wrap" -f -a "enforce" -d 'Run a command in a view of exactly what a manifest declares, and tell what it missed'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from modules" -f -a "enable" -d 'Let a module be loaded, from now on and after a restart'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from modules" -f -a "disable" -d 'Let a module not be loaded any more'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from volume" -f -a "list" -d 'List volumes'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from volume" -f -a "create" -d 'Make a volume, and print its id'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from volume" -f -a "rename" -d 'Give a volume another name'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from volume" -f -a "resize" -d 'Give a volume another size. What is beyond a smaller one is lost'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from volume" -f -a "remove" -d 'Remove a volume, with what it contains'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from volume" -f -a "mount" -d 'Mount a volume on a directory'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from volume" -f -a "unmount" -d 'Unmount a volume everywhere, after everything is on the resources'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from volume" -f -a "sync" -d 'Bring everything that was written to a container on its resources'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from volume" -f -a "stats" -d 'Print the requests of the kernel to a mounted volume (JSON)'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from block" -f -a "list" -d 'List what is published'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from block" -f -a "publish" -d 'Publish a volume, and print where the disk is'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from block" -f -a "withdraw" -d 'Take a disk away, after everything was flushed'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from task" -f -a "list" -d 'List work that is being done, and that has ended lately'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from task" -f -a "start" -d 'Start work that a container has to do, and watch it'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from task" -f -a "watch" -d 'Watch a task to its end'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from task" -f -a "pause" -d 'Have a task stand still'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from task" -f -a "resume" -d 'Have a task go on'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from task" -f -a "cancel" -d 'Have a task end'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from bazel-sandbox" -f -a "serve" -d 'Serve requests on standard input until it ends'
complete -c transom -n "__fish_transom_using_subcommand help; and __fish_seen_subcommand_from bazel-sandbox" -f -a "enter" -d 'Run a command in a sandbox: what Bazel puts before each command'
