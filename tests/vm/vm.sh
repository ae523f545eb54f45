#!/usr/bin/env bash
# A real Linux kernel with its own tape drivers, from Debian's packages only, under QEMU without KVM.
#
#   vm.sh build            downloads and unpacks (installs nothing) a Debian kernel and the tape programs, makes the initramfs
#   vm.sh run DIR SCRIPT   boots; DIR is /host in the guest, which runs /host/SCRIPT with the tape devices there; what it
#                          prints goes to DIR/out.log, its exit code to DIR/rc and is the exit code of this command
#
# Environment:
#   VM_WORK     cache of packages and initramfs                      [target/tape-vm]
#   VM_TARGET   PORT:IQN of an iSCSI target on the host's loopback; the guest's kernel logs in to it
#   VM_MEM      megabytes of memory                                  [1024]
#   VM_CPUS     processors; under TCG one is faster than two         [1]
#   VM_TIMEOUT  seconds until QEMU is ended                          [540]
#
# The guest has no network but QEMU's user network, in which 10.0.2.2 is the host's loopback.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
work=${VM_WORK:-$here/../../target/tape-vm}
mkdir -p "$work"
work=$(cd "$work" && pwd)

packages=(busybox-static dash kmod open-iscsi libopeniscsiusr libisns0
    mt-st mtx lsscsi sg3-utils libsgutils2-1.46-2 stenc tar
    libkmod2 libmount1 libblkid1 libacl1 libselinux1 libpcre2-8-0 libssl3 libc6 libgcc-s1 libstdc++6 libcap2
    libgcrypt20 libgpg-error0 liblz4-1 liblzma5 libzstd1 libsystemd0)
modules=(crc32c_generic crc32c_intel virtio_pci 9pnet_virtio 9p st sg ch iscsi_tcp virtio_net)
programs=(sbin/iscsistart usr/sbin/iscsistart bin/mt-st usr/bin/lsscsi usr/sbin/mtx usr/sbin/tapeinfo
    usr/sbin/loaderinfo usr/bin/stenc usr/sbin/stenc bin/tar)

say() { echo "[$(date +%T)] $*" >&2; }

kernel() { apt-cache depends linux-image-amd64 2>/dev/null | awk '/Depends:/ { print $2; exit }'; }

refresh_lists() {
    if [ "$(id -u)" -eq 0 ]; then apt-get update -qq; else sudo apt-get update -qq; fi
}

build() {
    local kernel_package
    kernel_package=$(kernel)
    # A fresh machine has no package lists.
    [ -n "$kernel_package" ] || { refresh_lists; kernel_package=$(kernel); }
    # Made anew only if this script, the init or the kernel's version changed.
    local recipe
    recipe=$(cat "$here/vm.sh" "$here/init.sh" <(echo "$kernel_package") | sha256sum)
    if [ -f "$work/initrd.gz" ] && [ "$(cat "$work/recipe" 2>/dev/null)" = "$recipe" ]; then return; fi
    say "download: $kernel_package and ${#packages[@]} packages"
    mkdir -p "$work/debs"
    (cd "$work/debs"
        want=()
        for package in "$kernel_package" "${packages[@]}"; do
            ls "${package}"_*.deb >/dev/null 2>&1 || want+=("$package")
        done
        # Old lists name versions that the archive no longer has.
        [ ${#want[@]} -eq 0 ] || apt-get download -qq "${want[@]}" 2>/dev/null ||
            { refresh_lists; apt-get download -qq "${want[@]}"; })
    say "unpack"
    local sys=$work/sys root=$work/root
    rm -rf "$sys" "$root"
    mkdir -p "$sys" "$root"
    local deb
    for deb in "$work"/debs/*.deb; do
        case $deb in
            */linux-image-*) # what could be needed of it; all of it is 440 MB
                dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$sys" --wildcards './boot/*' './lib/modules/*/modules.*' \
                    './lib/modules/*/kernel/drivers/'{scsi,virtio}'/*' \
                    './lib/modules/*/kernel/drivers/net/'{virtio_net,net_failover}'.ko' \
                    './lib/modules/*/kernel/'{net/9p,fs,lib,crypto,arch}'/*' './lib/modules/*/kernel/net/core/*' ;;
            *) dpkg-deb -x "$deb" "$sys" ;;
        esac
    done
    local version
    version=$(basename "$(echo "$sys"/lib/modules/*)")
    cp "$sys/boot/vmlinuz-$version" "$work/vmlinuz"
    export LD_LIBRARY_PATH="$sys/lib/x86_64-linux-gnu:$sys/usr/lib/x86_64-linux-gnu"
    mkdir -p "$work/tools"
    ln -sf ../sys/bin/kmod "$work/tools/depmod"
    ln -sf ../sys/bin/kmod "$work/tools/modprobe"
    "$work/tools/depmod" -b "$sys" "$version"
    say "initramfs"
    mkdir -p "$root"/{bin,sbin,dev,proc,sys,tmp,run,etc/iscsi,root,host,lib64,lib/modules,lib/x86_64-linux-gnu,usr,var}
    ln -s ../bin "$root/usr/bin"
    ln -s ../lib "$root/usr/lib"
    ln -s ../run "$root/var/run"
    cp "$sys/bin/busybox" "$sys/bin/kmod" "$root/bin/"
    local applet
    for applet in $("$root/bin/busybox" --list); do
        # Those of which the real one is here.
        case $applet in sh | mt | tar | modprobe | insmod | lsmod | rmmod | depmod | modinfo) continue ;; esac
        [ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"
    done
    for applet in modprobe insmod lsmod; do ln -s kmod "$root/bin/$applet"; done
    cp "$sys/bin/dash" "$root/bin/sh"
    local program
    for program in "${programs[@]}" $(cd "$sys" && ls usr/bin/sg_*); do
        [ -f "$sys/$program" ] && cp --remove-destination "$sys/$program" "$root/bin/"
    done
    ln -sf mt-st "$root/bin/mt"
    local module
    for module in "${modules[@]}"; do
        "$work/tools/modprobe" -d "$sys" -S "$version" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" { print $2 }'
    done | sort -u | while read -r module; do
        module=${module#"$sys"/}
        mkdir -p "$root/$(dirname "$module")"
        cp "$sys/$module" "$root/$module"
    done
    cp "$sys/lib/modules/$version"/modules.{builtin,order,builtin.modinfo} "$root/lib/modules/$version/"
    "$work/tools/depmod" -b "$root" "$version"
    # What the programs, and a program built on this machine, are linked with.
    cp -L "$sys/lib64/ld-linux-x86-64.so.2" "$root/lib64/"
    {
        for program in "$root"/bin/*; do
            [ -L "$program" ] || ldd "$program" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' || true
        done
        ls "$sys"/lib/x86_64-linux-gnu/{libc.so.6,libm.so.6,libgcc_s.so.1,libpthread.so.0,libdl.so.2,librt.so.1} \
            "$sys"/usr/lib/x86_64-linux-gnu/{libssl.so.3,libcrypto.so.3} 2>/dev/null || true
    } | sort -u | while read -r program; do cp -L "$program" "$root/lib/x86_64-linux-gnu/"; done
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\ntape:x:26:\n' >"$root/etc/group"
    cp "$here/init.sh" "$root/init"
    chmod +x "$root/init"
    (cd "$root" && find . | "$sys/bin/busybox" cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd.gz"
    echo "$recipe" >"$work/recipe"
    say "built: kernel $version, initramfs $(du -h "$work/initrd.gz" | cut -f1)"
}

run() {
    local dir script=$2
    dir=$(cd "$1" && pwd)
    build
    rm -f "$dir/rc" "$dir/out.log"
    say "boot"
    timeout -k 5 "${VM_TIMEOUT:-540}" qemu-system-x86_64 -accel tcg,thread=multi -machine q35 -cpu qemu64 \
        -m "${VM_MEM:-1024}" -smp "${VM_CPUS:-1}" -nodefaults -no-user-config -display none -no-reboot -serial stdio \
        -netdev user,id=n0,restrict=off -device virtio-net-pci,netdev=n0,romfile= \
        -kernel "$work/vmlinuz" -initrd "$work/initrd.gz" \
        -append "console=ttyS0 quiet loglevel=4 panic=-1 oops=panic mitigations=off nokaslr tsc=reliable audit=0 vm.script=$script vm.target=${VM_TARGET:-}" \
        -virtfs "local,path=$dir,mount_tag=host,security_model=none,multidevs=remap" </dev/null >"$dir/console.log" 2>&1 ||
        say "qemu ended with $?"
    say "done"
    if [ ! -f "$dir/rc" ]; then
        say "the guest left no result; the end of its console:"
        tail -40 "$dir/console.log" >&2
        exit 125
    fi
    cat "$dir/out.log"
    return "$(cat "$dir/rc")"
}

case ${1:-} in
    build) build ;;
    run) shift && run "$@" ;;
    *) sed -n '2,17p' "$0" && exit 2 ;;
esac
