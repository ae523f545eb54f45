#!/bin/sh
# Runs in the guest: strangers' programs on the devices that the kernel made of our iSCSI target, then Capstan itself over SG_IO.
#
# Each line of the report is `ok` or `FAIL`, the program, and what it did; the exit code is 1 if one failed. What a failing
# program printed follows its line. The library has 2 drives, 8 slots, 2 import/export slots, cartridges of 48 MB in slots 1 to 6.
cd /tmp || exit 1
failures=0

# t PROGRAM WHAT COMMAND [PATTERN]: the command must end well, and its output must fit the pattern if there is one.
t() {
    if sh -c "$3" >/tmp/t.out 2>&1 && { [ -z "$4" ] || grep -Eq -- "$4" /tmp/t.out; }; then
        printf 'ok   %-22s %s\n' "$1" "$2"
    else
        printf 'FAIL %-22s %s\n' "$1" "$2"
        echo "     command: $3${4:+   must print: $4}"
        sed 's/^/     | /' /tmp/t.out | tail -25
        failures=$((failures + 1))
    fi
}

up() { read -r now _ </proc/uptime; echo "# $1 (${now%.*} s)"; }

changer=$(lsscsi -g | awk '/mediumx/ { print $NF }')
sg0=$(lsscsi -g | awk '/tape/ { print $NF }' | sed -n 1p)
sg1=$(lsscsi -g | awk '/tape/ { print $NF }' | sed -n 2p)
# The kernel's node of the drive that is the changer's first.
st0=/dev/nst0
export changer sg0 sg1 st0

up "the kernel"
t lsscsi "two drives and a changer, each with its sg node" 'lsscsi -g' 'mediumx .*/dev/sch0 +/dev/sg'
t st "has both drives" 'test -c /dev/nst0 && test -c /dev/nst1 && dmesg | grep -c "Attached scsi tape"' '^2$'
t ch "has the changer and its elements" 'test -c /dev/sch0 && dmesg | grep "ch0"' 'type #4 \(dt\): 0x[0-9a-f]+\+2'
t sysfs "serial numbers in vpd_pg80" 'for d in /sys/class/scsi_generic/*/device; do cat $d/vpd_pg80; echo; done | tr -d "\000"' 'D000'

up "sg3-utils"
for device in $changer $sg0; do
    # These programs do not repeat a command that met the unit attention of the new session.
    sg_turs -n 3 "$device" >/dev/null 2>&1
    t sg_inq "standard data of $device" "sg_inq $device" 'CAPSTAN'
    t sg_vpd "page 83h of $device" "sg_vpd -p di $device" 'T10 vendor'
    t sg_luns "units of the target of $device" "sg_luns $device" 'Lun list length = 24'
    t sg_opcodes "commands of $device, with time-outs" "sg_opcodes -R $device" 'Inquiry'
    t sg_modes "all mode pages of $device" "sg_modes -a $device" 'Mode data length'
    t sg_logs "all log pages of $device" "sg_logs -a $device" 'Supported log pages'
    t sg_turs "$device is ready or empty" "sg_turs $device; true"
    t sg_requests "nothing waits at $device" "sg_requests $device; sg_requests $device; true"
done
t sg_read_block_limits "of the drive" "sg_read_block_limits $sg0" 'Maximum block size: 8388608'
t sg_prevent "locks and frees the drive" "sg_prevent $sg0 && sg_prevent --allow $sg0"

up "mtx"
t mtx "inquiry" "mtx -f $changer inquiry" 'Medium Changer'
t mtx "status" "mtx -f $changer status" '2 Drives, 10 Slots \( 2 Import/Export \)'
t mtx "bar codes" "mtx -f $changer status" 'Storage Element 1:Full :VolumeTag *= *CAP001L8'
t mtx "inventory" "mtx -f $changer inventory"
t mtx "transfer, and back" "mtx -f $changer transfer 1 7 && mtx -f $changer status | grep 'Element 7:Full' && mtx -f $changer transfer 7 1"
t mtx "load" "mtx -f $changer load 1 0 && mtx -f $changer status" 'Data Transfer Element 0:Full \(Storage Element 1 Loaded\):VolumeTag *= *CAP001L8'
t mtx "to the import/export slot, and back" "mtx -f $changer transfer 6 9 && mtx -f $changer status | grep 'IMPORT/EXPORT:Full' && mtx -f $changer transfer 9 6"
t loaderinfo "of the changer" "loaderinfo -f $changer" 'Number of Storage Elements: 8'
t tapeinfo "of a loaded drive" "tapeinfo -f $sg0" 'Ready: yes'
t tapeinfo "capacity and alerts" "tapeinfo -f $sg0" 'Partition 0 Remaining Kbytes: [1-9]'
t sg_read_attr "cartridge memory" "sg_read_attr $sg0" 'Medium serial number'

up "mt"
t mt "status" "mt -f $st0 status" 'ONLINE'
t mt "density of LTO-8" "mt -f $st0 status" '0x5e'
dd if=/dev/urandom of=/tmp/data bs=256k count=32 2>/dev/null
t dd "writes and reads 8 MB in blocks of 256 KiB" "mt -f $st0 setblk 0 && dd if=/tmp/data of=$st0 bs=256k && mt -f $st0 rewind && dd if=$st0 of=/tmp/back bs=256k && cmp /tmp/data /tmp/back"
t mt "weof, three files, fsf, tell" "mt -f $st0 rewind; for i in 1 2 3; do dd if=/tmp/data of=$st0 bs=64k count=4; done; mt -f $st0 rewind && mt -f $st0 fsf 2 && mt -f $st0 tell" 'At block 10'
t mt "bsf, bsfm, asf" "mt -f $st0 bsf 1 && mt -f $st0 asf 1 && mt -f $st0 tell" 'At block 5'
t mt "seek" "mt -f $st0 seek 7 && mt -f $st0 tell" 'At block 7'
t mt "eod counts files" "mt -f $st0 rewind && mt -f $st0 eod && mt -f $st0 status" 'File number=3'
t mt "fixed blocks of 4096" "mt -f $st0 rewind && mt -f $st0 setblk 4096 && dd if=/tmp/data of=$st0 bs=64k count=8 && mt -f $st0 rewind && dd if=$st0 of=/tmp/back bs=64k && cmp -n 524288 /tmp/data /tmp/back && mt -f $st0 setblk 0"
t mt "compression off and on" "mt -f $st0 compression 0 && mt -f $st0 compression 1"
# The kernel's tape driver unlocks by itself before `offline`, so the unload is sent past it.
t mt "lock keeps the tape in, unlock lets it go" "mt -f $st0 lock && ! sg_raw $sg0 1b 00 00 00 00 00 && mt -f $st0 unlock"
t mt "erase" "mt -f $st0 rewind && mt -f $st0 erase 0 && mt -f $st0 rewind && ! dd if=$st0 of=/dev/null bs=256k count=1 2>/tmp/e | grep -q 1+0 && mt -f $st0 tell" 'At block 0'
# Opening a drive without a tape makes the kernel wait for two minutes, so what follows `offline` goes past it.
t sg_raw "loads a tape that is offline" "mt -f $st0 offline && sg_raw $sg0 1b 00 00 00 01 00 && mt -f $st0 status" 'ONLINE'

up "sg_persist, stenc"
t sg_persist "registers, reserves and releases" "sg_persist --out --register --param-sark=abc $sg0 && sg_persist --out --reserve --param-rk=abc --prout-type=3 $sg0 && sg_persist --in --read-reservation $sg0 && sg_persist --out --release --param-rk=abc --prout-type=3 $sg0 && sg_persist --out --register --param-rk=abc --param-sark=0 $sg0" 'Exclusive [Aa]ccess'
printf '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n' >/tmp/key
t stenc "tells that encryption is off" "stenc -f $sg0 --detail" 'Drive Encryption: *off|not encrypting'
t stenc "turns encryption on" "stenc -f $sg0 -e on -k /tmp/key -a 1 && stenc -f $sg0 --detail" 'Drive Encryption: *on'
t stenc "data comes back with the key" "mt -f $st0 rewind && dd if=/tmp/data of=$st0 bs=256k count=8 && mt -f $st0 rewind && dd if=$st0 of=/tmp/back bs=256k && cmp -n 2097152 /tmp/data /tmp/back"
t stenc "data does not come back without it" "stenc -f $sg0 -e off -a 1 && mt -f $st0 rewind && ! dd if=$st0 of=/tmp/back bs=256k count=1"
t mtx "unload" "mt -f $st0 offline && mtx -f $changer unload 1 0 && mtx -f $changer status" 'Data Transfer Element 0:Empty'

up "tar over several cartridges"
mkdir /tmp/tree
for i in 1 2 3 4 5 6 7; do dd if=/dev/urandom of=/tmp/tree/file$i bs=1M count=14 2>/dev/null; done
cat >/tmp/next.sh <<'NEXT'
#!/bin/sh
# Called by tar when a cartridge is full: the next one into the drive.
n=$(cat /tmp/slot)
mt -f $st0 offline && mtx -f $changer unload "$n" 0 && mtx -f $changer load $((n + 1)) 0 && mt -f $st0 rewind || exit 1
echo $((n + 1)) >/tmp/slot
NEXT
chmod +x /tmp/next.sh
t mtx "load for tar" "mtx -f $changer load 2 0 && echo 2 >/tmp/slot && mt -f $st0 rewind"
t tar "writes 98 MB over cartridges of 48 MB" "tar -c -M -b 512 -F /tmp/next.sh -f $st0 -C /tmp tree && cat /tmp/slot" '^[4]$'
t mtx "back to the first" "mt -f $st0 offline && mtx -f $changer unload \$(cat /tmp/slot) 0 && mtx -f $changer load 2 0 && echo 2 >/tmp/slot"
mkdir /tmp/out
t tar "reads it back from all of them" "tar -x -M -b 512 -F /tmp/next.sh -f $st0 -C /tmp/out && for i in 1 2 3 4 5 6 7; do cmp /tmp/tree/file\$i /tmp/out/tree/file\$i || exit 1; done"
t mtx "unload after tar" "mt -f $st0 offline && mtx -f $changer unload \$(cat /tmp/slot) 0"
rm -rf /tmp/out

up "capstan over SG_IO"
cp /host/capstan /host/conformance /tmp/ && chmod +x /tmp/capstan /tmp/conformance
PATH=/tmp:$PATH
export CAPSTAN_CONFIG=/tmp/config CAPSTAN_STATE=/tmp/state
t capstan "finds drives and changer" "capstan tape drive scan && capstan tape changer scan && capstan tape drive scan --output-format json" 'CAPSTAN'
t capstan "mtx --mtx-format prints what mtx prints" "mtx -f $changer status >/tmp/theirs; capstan mtx -f $changer status --mtx-format >/tmp/ours; diff /tmp/theirs /tmp/ours"
t capstan "mtx --mtx-format of a loaded drive, too" "mtx -f $changer load 3 1; mtx -f $changer status >/tmp/theirs; capstan mtx -f $changer status --mtx-format >/tmp/ours; mtx -f $changer unload 3 1; diff /tmp/theirs /tmp/ours"
t capstan "configures them" "capstan tape changer create robot --path $changer && capstan tape drive create lto0 --path $sg0 --changer robot && capstan tape pool create offsite --drive lto0"
t capstan "labels the blank cartridges, and none that hold foreign data" "capstan tape barcode-label --drive lto0 --pool offsite; capstan tape media list | grep -v CAP00[1-4] | grep -c CAP" '^2$'
for i in 1 2 3 4; do
    t capstan "mtx loads slot $i, mt formats it" "capstan tape unload --drive lto0; capstan mtx -f $changer load $i 0 && capstan mt -f $sg0 format --fast --yes && capstan mt -f $sg0 status && capstan mt -f $sg0 eject && capstan mtx -f $changer unload $i 0"
done
t capstan "labels them now" "capstan tape barcode-label --drive lto0 --pool offsite && capstan tape media list | grep -c CAP" '^6$'
t capstan "backs up files to a datastore" "capstan datastore create archive /tmp/archive && capstan backup tree.pxar:/tmp/tree --repository archive --backup-id guest"
t capstan "backs up to tape, over more than one cartridge" "capstan tape backup archive offsite >/tmp/set && capstan tape media list --output-format json | tr -d '[:space:]' | grep -o '\"seq-nr\":[0-9]*' | sort -u | wc -l" '^[2-9]$'
t capstan "restores from tape" 'capstan datastore create second /tmp/second && capstan tape restore $(cat /tmp/set) second && capstan restore host/guest tree.pxar /tmp/out --repository second && for i in 1 2 3 4 5 6 7; do cmp /tmp/tree/file$i /tmp/out/file$i || exit 1; done'
t capstan "empties the drive" "capstan tape unload --drive lto0"
t capstan "passes the conformance suite over SG_IO" "CAPSTAN_CONFORMANCE_CHANGER=$changer CAPSTAN_CONFORMANCE_DRIVE=$sg0 /tmp/conformance devices_given --ignored --exact --nocapture" '1 passed'
up "end"
[ $failures -eq 0 ] || { echo "$failures failed"; dmesg | tail -20; exit 1; }
