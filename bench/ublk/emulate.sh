#!/usr/bin/env bash
# Runs the tests of ublk on a kernel that has it, in an emulator:
#
#   bench/ublk/emulate.sh DIRECTORY [KERNEL]
#
# KERNEL is a Debian package, such as linux-image-6.12.111+deb12-amd64, by default
# the newest that apt knows; it is not installed. Needs, besides what building
# Transom needs: apt install qemu-system-x86 busybox-static xz-utils e2fsprogs kmod
set -euo pipefail

directory=$(realpath "${1:?where to put what is needed}")
kernel=${2:-$(apt-cache search --names-only '^linux-image-[0-9]+\.[0-9]+\.[0-9]+.*[0-9]-amd64$' |
    cut -d' ' -f1 | sort -V | tail -1)}
version=${kernel#linux-image-}
root=$directory/root
mkdir -p "$directory"

if [ ! -d "$directory/$version" ]; then
    (cd "$directory" && apt-get download "$kernel" && dpkg -x "$kernel"_*.deb "$version")
fi

rm -rf "$root"
mkdir -p "$root"/{bin,busybox,dev,etc,proc,sys,tmp,modules}

libraries() {
    cp --dereference --parents $(ldd "$1" | grep -o '/[^ ]*') "$root"
}
for program in mkfs.ext4 e2fsck mount umount fallocate; do
    path=$(PATH=$PATH:/usr/sbin:/sbin command -v $program)
    libraries "$path"
    cp --dereference "$path" "$root/bin/$program"
done
tests=$(cargo test --package transom-block --test it --no-run --message-format json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
libraries "$tests"
cp "$tests" "$root/bin/ublk-tests"
cp "$(command -v busybox)" "$root/bin"
cp --dereference /etc/mke2fs.conf "$root/etc"

# Modules, each after those it depends on.
modules=$directory/$version/lib/modules/$version
depmod --basedir "$directory/$version" "$version"
load() {
    for module in $(modprobe --dirname "$directory/$version" --set-version "$version" \
        --show-depends "$1" | sed -n "s|^insmod $modules/||p"); do
        name=$(basename "$module" .xz)
        if [ ! -e "$root/modules/$name" ]; then
            xz --decompress --stdout "$modules/$module" >"$root/modules/$name"
            echo "insmod /modules/$name"
        fi
    done
}

{
    cat <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /busybox
export PATH=/bin:/busybox
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
INIT
    load crc32c_generic
    load ext4
    load ublk_drv
    echo "echo Linux \$(uname -r)"
    echo "ublk-tests ublk --test-threads 1"
    echo "echo status \$?"
    echo "poweroff -f"
} >"$root/init"
chmod +x "$root/init"

(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$directory/initrd"
qemu-system-x86_64 -accel tcg -cpu qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt -m 1024 \
    -nographic -no-reboot -net none \
    -kernel "$directory/$version/boot/vmlinuz-$version" -initrd "$directory/initrd" \
    -append 'console=ttyS0 rdinit=/init quiet panic=-1' | tee "$directory/log"
grep --quiet '^status 0' "$directory/log"
