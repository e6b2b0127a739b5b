#!/bin/bash
# Runs as root in a guest of the rig that was booted with systemd: KVP on demand, held by systemd itself, over the char device of hv_utils and over
# UIO: no process between requests, registered and negotiated once, the service toggled at the host.
# usage: in-guest.sh FOLDER     with bin/, build/Release/vmic.node and systemd/
set -euo pipefail
trap 'echo "FAILED in line $LINENO"; systemctl status --no-pager "vmic-*" || true; journalctl -u "vmic-*" --no-pager' ERR
folder=$1

say() { printf '\n--- %s\n' "$*"; }
refuse() { if "$@"; then echo "should have failed: $*"; return 1; fi; }
# The emulated machine is slow: waits are long, and end as soon as they can.
wait_for() { for _ in {1..300}; do "$@" >/dev/null 2>&1 && return; sleep 0.2; done; echo "waited in vain for: $*"; return 1; }
asleep() { [[ $(systemctl show -p ActiveState --value vmic-kvp.service) == inactive ]] && refuse pgrep -f 'vmic-kvp|hv_kvp_daemon' >/dev/null; }
starts() { journalctl -u vmic-kvp.service --no-pager -o cat | grep -c '^Started' || true; }

say install
mkdir -p /usr/lib/vmic/bin /usr/lib/vmic/build/Release /usr/lib/systemd/system /usr/lib/udev/rules.d /etc/vmic
cp "$folder"/bin/* /usr/lib/vmic/bin
cp "$folder"/build/Release/vmic.node /usr/lib/vmic/build/Release
ln -s ../lib/vmic/bin/vmic ../lib/vmic/bin/vmic-kvp /usr/bin
ln -sf ../lib/vmic/bin/vmic-kvp /usr/sbin/hv_kvp_daemon
cp "$folder"/systemd/vmic-kvp.{service,socket} /usr/lib/systemd/system
cp "$folder"/systemd/70-vmic.rules /usr/lib/udev/rules.d
printf '[log]\nlevel = "debug"\n[kvp]\nidle_exit_ms = 3000\n' >/etc/vmic/config.toml
for unit in vmic-kvp.service vmic-kvp.socket vmic-kvp-uio@.socket; do
	# The rig looks like plain QEMU
	mkdir -p /etc/systemd/system/$unit.d
	printf '[Unit]\nConditionVirtualization=\nStartLimitIntervalSec=0\n' >/etc/systemd/system/$unit.d/rig.conf
done
# As the unit for file copy, which has no char device on this kernel
sed -e 's#^ListenSpecial=.*#ListenSpecial=/dev/%i#' -e 's/^Writable=yes/Writable=yes\nService=vmic-kvp.service/' -e '/^\[Install\]/,$d' \
	"$folder"/systemd/vmic-kvp.socket >/etc/systemd/system/vmic-kvp-uio@.socket
systemctl daemon-reload
systemd-analyze verify vmic-kvp.socket vmic-kvp-uio@uio0.socket

say 'the device brings the socket, which starts the service once: it registers and leaves'
systemctl enable vmic-kvp.socket
udevadm control --reload
udevadm trigger --settle --subsystem-match=misc
wait_for systemctl is-active vmic-kvp.socket
wait_for asleep
(($(starts) == 1))
systemctl is-active vmic-kvp.socket

say 'each request starts it, and it finds itself registered'
hostctl.py kvp set 0 FromHost one
wait_for asleep
hostctl.py kvp get 0 FromHost
wait_for asleep
(($(starts) == 3))
[[ $(journalctl -u vmic-kvp.service -o cat --no-pager | grep -c '"message":"Connected"') -ge 3 ]]
journalctl -u vmic-kvp.service -o cat --no-pager | grep '"kernelVersion":"3.1"' | tail -n 1

say 'restarted and killed while it runs'
hostctl.py kvp get 0 FromHost then run systemctl restart vmic-kvp.service then kvp get 0 FromHost then run systemctl kill -s KILL vmic-kvp.service then kvp get 0 FromHost
wait_for asleep

say 'switched off at the host while nobody runs, and on again, at once and after a while: nothing failed remains'
for pause in 0 5; do
	hostctl.py rescind kvp then sleep $pause
	# At once means: as soon as the guest has let go of the channel
	hostctl.py offer kvp
	wait_for systemctl is-active vmic-kvp.socket
	wait_for hostctl.py kvp get 0 FromHost
	wait_for asleep
done

say 'and while it runs'
for pause in 0 5; do
	hostctl.py kvp get 0 FromHost
	hostctl.py rescind kvp then sleep $pause
	# At once means: as soon as the guest has let go of the channel
	hostctl.py offer kvp
	wait_for systemctl is-active vmic-kvp.socket
	wait_for hostctl.py kvp get 0 FromHost
	wait_for asleep
done
hostctl.py rescind kvp
wait_for test ! -e /dev/vmbus/hv_kvp
none_failed() { [[ -z $(systemctl --failed --no-legend --plain "vmic-*") ]]; }
wait_for none_failed
hostctl.py offer kvp
wait_for systemctl is-active vmic-kvp.socket
wait_for asleep

say 'stopped, nobody holds the device'
systemctl stop vmic-kvp.socket vmic-kvp.service
refuse grep -q /dev/vmbus/hv_kvp <(ls -l /proc/[0-9]*/fd 2>/dev/null)

if modinfo -F version uio_hv_generic >/dev/null && [[ $(uname -r) != 6.1.* ]]; then
	say 'over UIO: what is in the ring and what was agreed on outlives the process'
	systemctl disable vmic-kvp.socket
	vmic bind kvp
	uio=$(basename /sys/bus/vmbus/devices/242ff919-07db-4180-9c2e-b86cb68c8c55/uio/uio*)
	before=$(starts)
	systemctl start "vmic-kvp-uio@$uio.socket"
	wait_for asleep
	(($(starts) == before + 1))
	# One negotiation for three requests in three processes
	hostctl.py kvp set 0 FromHost two then sleep 30 then kvp get 0 FromHost then sleep 30 then kvp enum 2
	wait_for asleep
	(($(starts) == before + 4))
	hostctl.py kvp get 0 FromHost then run systemctl kill -s KILL vmic-kvp.service then kvp get 0 FromHost
	wait_for asleep
	hostctl.py rescind kvp
	gone() { [[ $(systemctl show -p ActiveState --value "vmic-kvp-uio@$uio.socket") != active ]]; }
	wait_for gone
	hostctl.py offer kvp
fi
refuse journalctl -u vmic-kvp.service -p err --no-pager --grep .
