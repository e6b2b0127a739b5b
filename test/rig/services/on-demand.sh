#!/bin/bash
# Runs as root in a guest of the rig that was booted with systemd: KVP on demand, held by systemd
# itself, over the char device of hv_utils and over UIO. No process runs between requests; it
# registers and negotiates once; the host switches the service off and on.
# usage: on-demand.sh FOLDER     with bin/, build/Release/vmic.node and systemd/
set -euo pipefail
trap 'echo "FAILED in line $LINENO"
	systemctl status --no-pager "vmic-*" || true
	journalctl -u "vmic-*" --no-pager' ERR
folder=$1
# shellcheck source=test/rig/services/common.sh
source "$(dirname "$0")/common.sh"

asleep() {
	[[ $(state vmic-kvp.service ActiveState) == inactive ]] &&
		refuse pgrep -f 'vmic-kvp|hv_kvp_daemon' >/dev/null
}
starts() {
	journalctl --sync
	journalctl -u vmic-kvp.service --no-pager -o cat | grep -c '^Started' || true
}
# Another test in this guest may have started it before.
first_starts=$(starts)
# The journal may be late, so this waits; more than so many never come right.
await_starts() {
	has_started() { (($(starts) >= first_starts + $1)); }
	wait_for has_started "$1"
	echo "started $(($(starts) - first_starts)) times"
	(($(starts) == first_starts + $1))
}
# For hostctl.py, between two requests.
await_asleep=/run/await-asleep
{
	echo '#!/bin/bash'
	declare -f state refuse asleep wait_for
	echo 'wait_for asleep'
} >$await_asleep
chmod 755 $await_asleep

say install
install_vmic "$folder" vmic vmic-kvp
ln -sf ../lib/vmic/bin/vmic-kvp /usr/sbin/hv_kvp_daemon
cp "$folder"/systemd/vmic-kvp.{service,socket} /usr/lib/systemd/system
printf '[log]\nlevel = "debug"\n[kvp]\nidle_exit_ms = 3000\n' >/etc/vmic/config.toml
for unit in vmic-kvp.service vmic-kvp.socket vmic-kvp-uio@.socket; do
	allow_in_rig $unit StartLimitIntervalSec=0
done
# As the unit for file copy, which has no char device on this kernel
sed -e 's#^ListenSpecial=.*#ListenSpecial=/dev/%i#' \
	-e 's/^Writable=yes/Writable=yes\nService=vmic-kvp.service/' -e '/^\[Install\]/,$d' \
	"$folder"/systemd/vmic-kvp.socket >/etc/systemd/system/vmic-kvp-uio@.socket
systemctl daemon-reload
systemd-analyze verify vmic-kvp.socket vmic-kvp-uio@uio0.socket

say 'the device brings the socket, which starts the service once: it registers and leaves'
systemctl enable vmic-kvp.socket
udevadm control --reload
udevadm trigger --settle --subsystem-match=misc
wait_for systemctl is-active vmic-kvp.socket
await_starts 1
wait_for asleep
await_starts 1
systemctl is-active vmic-kvp.socket

say 'each request starts it, and it finds itself registered'
hostctl.py kvp set 0 FromHost one
wait_for asleep
hostctl.py kvp get 0 FromHost
wait_for asleep
await_starts 3
connected() { journalctl -u vmic-kvp.service -o cat --no-pager | grep -c '"message":"Connected"'; }
connected_thrice() { (($(connected) >= 3)); }
wait_for connected_thrice
journalctl -u vmic-kvp.service -o cat --no-pager | grep '"kernelVersion":"3.1"' | tail -n 1

say 'restarted and killed while it runs'
hostctl.py kvp get 0 FromHost then run systemctl restart vmic-kvp.service \
	then kvp get 0 FromHost then run systemctl kill -s KILL vmic-kvp.service then kvp get 0 FromHost
wait_for asleep

say 'off at the host while nobody runs, and on again, at once and later: nothing failed remains'
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
[[ -z $(find /proc/[0-9]*/fd -lname /dev/vmbus/hv_kvp 2>/dev/null) ]]
systemctl disable vmic-kvp.socket

if modinfo -F version uio_hv_generic >/dev/null && [[ $(uname -r) != 6.1.* ]]; then
	say 'over UIO: what is in the ring and what was agreed on outlives the process'
	vmic bind kvp
	uio=$(basename /sys/bus/vmbus/devices/242ff919-07db-4180-9c2e-b86cb68c8c55/uio/uio*)
	first_starts=$(starts)
	systemctl start "vmic-kvp-uio@$uio.socket"
	await_starts 1
	wait_for asleep
	# One negotiation for three requests in three processes
	hostctl.py kvp set 0 FromHost two then run $await_asleep then kvp get 0 FromHost \
		then run $await_asleep then kvp enum 2
	wait_for asleep
	await_starts 4
	hostctl.py kvp get 0 FromHost then run systemctl kill -s KILL vmic-kvp.service \
		then kvp get 0 FromHost
	wait_for asleep
	hostctl.py rescind kvp
	gone() { [[ $(state "vmic-kvp-uio@$uio.socket" ActiveState) != active ]]; }
	wait_for gone
	hostctl.py offer kvp
fi
refuse journalctl -u vmic-kvp.service -p err --no-pager --grep .
