# Part of system.sh, which sources it: backup and file copy of the package as installed. systemd
# holds their channels; no process of theirs runs between requests.
# "vss-fcopy.sh PART" runs one part alone, for hostctl.py in the middle of a freeze.
# shellcheck shell=bash disable=SC2154,SC2317

fcopy=34d14be3-dee4-41c8-9ae7-6b174977c192
proof=/var/lib/rig-proof
rig_configuration=/etc/vmic/config.toml.d/50-rig.toml

device_of() { grep -lx "{$1}" /sys/bus/vmbus/devices/*/class_id | xargs -n 1 dirname; }
# The unit that holds the channel of file copy, on this kernel
fcopy_socket() {
	local uio
	if [[ $old_kernel == yes ]]; then echo vmic-fcopy.socket; return; fi
	for uio in "$(device_of $fcopy)"/uio/uio*; do
		[[ -e $uio ]] && echo "vmic-fcopy@${uio##*/}.socket"
	done
}
sockets() { echo vmic-vss.socket "$(fcopy_socket)"; }
asleep() {
	local unit
	for unit in $(sockets); do [[ $(state "$unit" SubState) == listening ]] || return 1; done
	for unit in vmic-vss.service vmic-fcopy.service; do
		[[ $(state $unit ActiveState) == inactive ]] || return 1
	done
	[[ $(fcopy_socket) && -z $(pgrep -f '/(vmic|hv)[-_](vss|fcopy)') ]]
}
# Who has the device open besides systemd would be served, or in the way
held_by_systemd() {
	local holders
	holders=$(find /proc/[0-9]*/fd -lname "$1" 2>/dev/null | cut -d / -f 3 | sort -u | xargs)
	echo "$1 is open in process $holders"
	[[ $holders == 1 ]]
}
# Units of Debian's C daemons: which there are, which start at boot, which run
c_units() {
	systemctl list-unit-files --no-legend --no-pager 'hv-*'
	pgrep -lx 'hv_(kvp|vss)_daemon' | cut -d ' ' -f 2 | sort
}

# Ten seconds by default
leave_soon() { printf '[%s]\nidle_exit_ms = 2000\n' kvp vss fcopy >$rig_configuration; }

channels_are_held() {
	local units
	wait_for asleep
	read -ra units <<<"$(sockets)"
	systemctl is-active "${units[@]}"
	held_by_systemd /dev/vmbus/hv_vss
	if [[ $old_kernel == yes ]]; then
		held_by_systemd /dev/vmbus/hv_fcopy
	else
		held_by_systemd "/dev/$(basename "$(device_of $fcopy)"/uio/uio*)"
	fi
	local enabled
	enabled=$(systemctl is-enabled vmic-vss.socket vmic-fcopy.socket vmic-fcopy-channel.service \
		vmic-vss.service vmic-fcopy.service | xargs)
	[[ $enabled == 'enabled enabled enabled disabled disabled' ]]
}

channel_of_fcopy() {
	# On an old kernel hv_utils has it. A new one gives it to user space by itself. Between the two
	# no driver has it.
	local result bound
	result=$(state vmic-fcopy-channel ConditionResult)
	bound=$(journalctl -b -u vmic-fcopy-channel -o cat --no-pager -q)
	echo "before vmic: $(</var/lib/rig-fcopy-driver); now: $(driver $fcopy)"
	echo "vmic-fcopy-channel: condition $result, $bound"
	[[ $(state vmic-fcopy-channel Result) == success ]]
	case $(</var/lib/rig-fcopy-driver) in
	hv_utils) [[ $old_kernel == yes && $result == no && $bound == *'unmet condition'* ]] ;;
	uio_hv_generic) [[ $old_kernel == no && $result == no && $bound == *'unmet condition'* ]] ;;
	'') [[ $old_kernel == no && $bound == *'(before: no driver)'* ]] ;;
	esac
	if [[ $old_kernel == yes ]]; then
		is_driver $fcopy hv_utils
	else
		is_driver $fcopy uio_hv_generic
	fi
}

# A channel that nobody has is given to user space, and systemd holds the new device
bind_what_nobody_has() {
	if [[ $old_kernel == yes ]]; then return; fi
	systemctl stop "$(fcopy_socket)"
	basename "$(device_of $fcopy)" >/sys/bus/vmbus/drivers/uio_hv_generic/unbind
	is_driver $fcopy ''
	systemctl start vmic-fcopy-channel
	is_driver $fcopy uio_hv_generic
	wait_for has_logged vmic-fcopy-channel 'before: no driver'
	wait_for asleep
}

healthy() {
	vmic status
	vmic doctor
	vmic status --json >/rig/out/status.json
}

stands_still() {
	rm -f /run/proof
	(echo frozen >>$proof; touch /run/proof) >/dev/null 2>&1 &
	sleep 2
	[[ ! -e /run/proof && -e /run/vmic/vss-frozen ]]
}
goes_on() { wait_for test -e /run/proof; }
last_freeze() {
	vmic vss status --json | python3 -c '
import json, sys
f = json.load(sys.stdin)["freezes"][0]
frozen = (v["mountPoint"] for v in f["volumes"] if v["outcome"] == "frozen")
print(f["by"], f["result"], *sorted(frozen))'
}
part=(run bash "$packages/vss-fcopy.sh")

use_backup() {
	wait_for asleep
	# Longer than a process stays that has nothing to do. hv_utils gives other first requests 10 s.
	hostctl.py --timeout 120 vss freeze then "${part[@]}" stands_still then vss check \
		then sleep 5 then vss thaw then "${part[@]}" goes_on
	thawed() { [[ "$(last_freeze) " == 'host thawed / '* ]]; }
	wait_for thawed
	last_freeze
	vmic vss status
	wait_for asleep
	vmic vss status | grep >/dev/null "has no process: a host's request starts it"
	vmic vss status | grep >/dev/null 'nothing is frozen'
}

use_file_copy() {
	wait_for asleep
	head -c 100000 /dev/urandom >/rig/out/source
	hostctl.py --timeout 120 fcopy /rig/out/source /var/tmp/made/ copied mkdir
	cmp /rig/out/source /var/tmp/made/copied
	vmic fcopy status
	wait_for asleep
	vmic fcopy status | grep >/dev/null 'none: a host that copies a file starts it'
	vmic fcopy status | grep >/dev/null /var/tmp/made/copied
	head -c 100 /dev/urandom >/rig/out/source
	hostctl.py --timeout 120 fcopy /rig/out/source /var/tmp/made/ copied overwrite
	cmp /rig/out/source /var/tmp/made/copied
	rm -r /var/tmp/made
}

# Daemon and guard, while the root file system is frozen: systemd thaws, and the next backup goes
# well.
kill_in_freeze() {
	wait_for asleep
	hostctl.py --timeout 120 vss freeze then "${part[@]}" stands_still \
		then run systemctl kill --signal=KILL --kill-whom=all vmic-vss then "${part[@]}" goes_on
	wait_for test ! -e /run/vmic/vss-frozen
	interrupted() { [[ "$(last_freeze) " == 'host interrupted '* ]]; }
	wait_for interrupted
	use_backup
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
	set -Eeuo pipefail
	packages=$(dirname "$0")
	# shellcheck source=test/rig/services/common.sh
	source "$packages/common.sh"
	"$1"
fi
