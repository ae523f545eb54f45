#!/bin/sh
# The first process of the guest: devices, the share, the iSCSI login, then the script.
export PATH=/bin:/sbin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs -o size=90% tmp /tmp
mount -t tmpfs shm /dev/shm

say() { read -r up _ </proc/uptime; echo "[guest ${up}s] $*"; }
off() { sync; umount /host 2>/dev/null; say "power off"; poweroff -f; }

ip link set lo up
modprobe -a virtio_pci 9pnet_virtio 9p st sg ch
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 host /host || { say "no share"; off; }
for word in $(cat /proc/cmdline); do
    case $word in vm.*) word=${word#vm.}; eval "vm_${word%%=*}='${word#*=}'" ;; esac
done
say "booted $(uname -r)"
if [ -n "$vm_target" ]; then
    modprobe virtio_net
    n=0
    until ip link set eth0 up 2>/dev/null; do n=$((n + 1)); [ $n -lt 50 ] || { say "no network"; off; }; sleep 0.1; done
    ip addr add 10.0.2.15/24 dev eth0
    modprobe -a crc32c_generic iscsi_tcp
    iscsistart -P node.session.iscsi.InitialR2T=No -P node.session.iscsi.FirstBurstLength=1048576 \
        -P node.session.iscsi.MaxBurstLength=1048576 -P 'node.conn[0].iscsi.MaxRecvDataSegmentLength=1048576' \
        -i iqn.2026-01.test.vm:initiator -t "${vm_target#*:}" -g 1 -a 10.0.2.2 -p "${vm_target%%:*}" \
        >/tmp/iscsistart.log 2>&1 || cat /tmp/iscsistart.log
    n=0
    until lsscsi -g | grep -q 'mediumx.*/dev/sch.*/dev/sg' || [ $n -ge 100 ]; do n=$((n + 1)); sleep 0.1; done
fi
say "devices: $(cd /dev && echo nst? sg* sch*)"
(cd /host && sh "/host/$vm_script") >/host/out.log 2>&1
echo $? >/host/rc
say "script ended with $(cat /host/rc)"
off
