#!/usr/bin/env bash
# A stranger's tape library over iSCSI: Debian's `tgt`, a changer and two drives on 127.0.0.1. Needs no root.
#
#   tgt-library.sh start DIR [SIZE_MB]    DIR is new; prints the address of the target, to which /LUN is added:
#                                         1 and 2 are the drives, 3 the changer
#   tgt-library.sh stop DIR
#
# Element addresses: robot 1, drives 500 and 501, slots 1000 to 1009 (cartridges in the first seven), import/export 2000 and 2001.
# TGT_CHAP=USER:PASSWORD protects it, TGT_CHAP_OUT=USER:PASSWORD is what the target then shows in turn.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
command=${1:-} dir=${2:-}
[ -n "$dir" ] || { sed -n '2,9p' "$0" >&2; exit 2; }
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
export TGT_IPC_SOCKET=$dir/tgtd.sock
target=iqn.2026-01.test.tgt:library

adm() { tgtadm -C "$(cat "$dir/control")" --lld iscsi "$@"; }

start() {
    local size=${1:-300} media=$dir/media port
    command -v tgtd >/dev/null || { echo "tgtd is not installed (package tgt)" >&2; exit 3; }
    mkdir "$media"
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    # Every tgtd at a time needs a control number of its own.
    echo $((port % 30000 + 1)) >"$dir/control"
    cartridge() { tgtimg --op new --device-type tape --barcode "$1" --size "$2" --type "$3" --file "$4" --thin-provisioning >/dev/null; }
    local i
    for i in 1 2 3 4 5 6; do cartridge "TEST0${i}L6" "$size" data "$media/TEST0${i}L6"; done
    cartridge CLNU01L6 10 clean "$media/CLNU01L6"
    # A drive wants a file even while it is empty.
    for i in 1 2; do cartridge "EMPTY$i" 10 data "$dir/nomedia$i"; done
    truncate -s 1024 "$dir/smc"
    tgtd -f -C "$(cat "$dir/control")" --iscsi "portal=127.0.0.1:$port" >"$dir/tgtd.log" 2>&1 &
    echo $! >"$dir/pid"
    for i in $(seq 100); do
        adm --op show --mode target >/dev/null 2>&1 && break
        [ "$i" -lt 100 ] || { cat "$dir/tgtd.log" >&2; exit 1; }
        sleep 0.05
    done
    adm --mode target --op new --tid 1 -T "$target"
    # Its own defaults (8 KiB segments, R2T for everything) make it several times slower.
    for i in MaxRecvDataSegmentLength=1048576 MaxXmitDataSegmentLength=1048576 MaxBurstLength=1048576 \
        FirstBurstLength=1048576 InitialR2T=No ImmediateData=Yes; do
        adm --mode target --op update --tid 1 --name "${i%=*}" --value "${i#*=}"
    done
    for i in 1 2; do
        adm --mode logicalunit --op new --tid 1 --lun "$i" -b "$dir/nomedia$i" --device-type=tape --bstype=ssc
        adm --mode logicalunit --op update --tid 1 --lun "$i" --params "vendor_id=TGT,scsi_sn=DRIVE0000$i,online=0"
    done
    adm --mode logicalunit --op new --tid 1 --lun 3 -b "$dir/smc" --device-type=changer --bstype=smc
    local parameters
    for parameters in "media_home=$media" scsi_sn=CHANGER00 \
        element_type=1,start_address=1,quantity=1 element_type=2,start_address=1000,quantity=10 \
        element_type=3,start_address=2000,quantity=2 element_type=4,start_address=500,quantity=2 \
        element_type=4,address=500,tid=1,lun=1 element_type=4,address=501,tid=1,lun=2 \
        element_type=2,address=100{0,1,2,3,4,5},barcode=TEST0%L6,sides=1 element_type=2,address=1006,barcode=CLNU01L6,sides=1; do
        case $parameters in *TEST0%L6*) i=${parameters#*address=100} && i=${i%%,*} && parameters=${parameters/\%/$((i + 1))} ;; esac
        adm --mode logicalunit --op update --tid 1 --lun 3 --params "$parameters"
    done
    if [ -n "${TGT_CHAP:-}" ]; then
        adm --mode account --op new --user "${TGT_CHAP%%:*}" --password "${TGT_CHAP#*:}"
        adm --mode account --op bind --tid 1 --user "${TGT_CHAP%%:*}"
    fi
    if [ -n "${TGT_CHAP_OUT:-}" ]; then
        adm --mode account --op new --user "${TGT_CHAP_OUT%%:*}" --password "${TGT_CHAP_OUT#*:}"
        adm --mode account --op bind --tid 1 --user "${TGT_CHAP_OUT%%:*}" --outgoing
    fi
    adm --op bind --mode target --tid 1 -I ALL
    echo "iscsi://127.0.0.1:$port/$target"
}

# tgtd ignores SIGTERM: it goes through its own management command.
stop() {
    local pid
    pid=$(cat "$dir/pid")
    adm --op delete --mode target --tid 1 --force >/dev/null 2>&1 || true
    tgtadm -C "$(cat "$dir/control")" --op delete --mode system >/dev/null 2>&1 || true
    for _ in $(seq 40); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.05
    done
    kill -9 "$pid"
}

case $command in
    start) start "${3:-}" ;;
    stop) stop ;;
    *) sed -n '2,9p' "$0" >&2 && exit 2 ;;
esac
