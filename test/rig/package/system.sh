#!/bin/bash
# Runs as root in a guest of the rig with systemd, whose root disk is kept from boot to boot: the
# life of the package on a Debian 13.
# usage: system.sh PHASE     in this order, each but the last ends with a reboot:
#   c-daemons    Debian's C daemons are installed
#   replace      booted with them; vmic's package takes their place
#   use          booted with vmic: every service used from the host, upgraded, removed, and the
#                C daemons again; in the end vmic
#   shutdown     the host shuts the guest down
# measure [c|vmic] prints figures of the boot. /opt/package holds this script, vss-fcopy.sh,
# common.sh, hyperv-daemons.deb, vmic.deb, vmic-next.deb, and perhaps vmic-bundled-node.deb.
# (grep -q would end before its input does, which pipefail takes for a failure.)
set -Eeuo pipefail
report() {
	echo "FAILED in line $1: $2"
	systemctl --no-pager --no-legend list-units 'vmic-*' 'hv-*' || true
	systemctl --no-pager --no-legend list-units --failed || true
	systemctl --no-pager list-jobs || true
	journalctl -b -u 'vmic-*' -n 60 --no-pager || true
}
# What fails in a command substitution is no failure yet, and its output is looked at
trap '((BASH_SUBSHELL)) || report "$LINENO" "$BASH_COMMAND"' ERR
packages=/opt/package

# shellcheck source=test/rig/services/common.sh
source $packages/common.sh
has() { systemctl cat "$1" >/dev/null 2>&1; }
[[ $(uname -r) == 6.1.* ]] && old_kernel=yes || old_kernel=no
# Its channel is one that a daemon can take over
driver() {
	local device
	for device in /sys/bus/vmbus/devices/*; do
		[[ $(<"$device/class_id") == "{$1}" ]] || continue
		basename "$(readlink "$device/driver")"
		return
	done
}
heartbeat=57164f39-9115-4e78-ab55-382f3bd5422d
shutdown=0e0b6031-5213-4934-818b-38d90ced39db
timesync=9527e630-d0ae-497b-adce-e80ab0175caf
is_driver() { [[ $(driver "$1") == "$2" ]]; }
taken_over() {
	local class
	for class in $heartbeat $shutdown $timesync; do
		is_driver "$class" uio_hv_generic || return 1
	done
}
# Processes of the C daemons or ours that stay when nothing happens
idle_processes() { pgrep -f '/(hv_[a-z_]+_daemon|vmic-[a-z]+)( |$)' || true; }
# An error of ours, or of systemd's or udev's about us, would be here
quiet_journal() {
	local found
	local warnings=(journalctl -b -p warning --no-pager -q -o short-monotonic)
	found=$("${warnings[@]}" -u 'vmic-*'
		"${warnings[@]}" | grep -iE 'vmic|ordering cycle' || true)
	if [[ -n $found ]]; then echo "$found"; return 1; fi
}
# shellcheck source=test/rig/package/vss-fcopy.sh
source $packages/vss-fcopy.sh
kvp_is_answered() {
	hostctl.py --timeout 60 kvp set 0 FromHost "$1" then kvp get 0 FromHost then kvp enum 2
}

measure() {
	local pid
	systemd-analyze
	local from
	from=$(systemctl show -P UserspaceTimestampMonotonic)
	# Until all that was begun at boot runs, and until the boot's target: it waits for none of ours
	echo "FIGURE $1 userspace_ms $((($(systemctl show -P FinishTimestampMonotonic) - from) / 1000))"
	local there
	there=$(state multi-user.target ActiveEnterTimestampMonotonic)
	echo "FIGURE $1 multi_user_ms $(((there - from) / 1000))"
	local count=0 pss=0 rss=0
	for pid in $(idle_processes); do
		count=$((count + 1))
		pss=$((pss + $(awk '/^Pss:/ {print $2}' /proc/"$pid"/smaps_rollup)))
		rss=$((rss + $(awk '/^Rss:/ {print $2}' /proc/"$pid"/smaps_rollup)))
		awk -v what="   $pid $(</proc/"$pid"/comm)" \
			'/^(Rss|Pss):/ { what = what " " $1 " " $2 " kB" } END { print what }' \
			/proc/"$pid"/smaps_rollup
	done
	echo "FIGURE $1 processes $count rss_kb $rss pss_kb $pss"
	systemd-analyze security --no-pager | grep -E '^(UNIT|hv|vmic)'
}

prepare() {
	# As early as an initrd would load them, before devices are looked through. hv_vmbus comes with
	# them where it is a module.
	cat >/etc/systemd/system/rig-vmbus.service <<-'U'
	[Unit]
	DefaultDependencies=no
	Before=systemd-udev-trigger.service
	[Service]
	Type=oneshot
	RemainAfterExit=yes
	ExecStart=/sbin/modprobe -a rig_hv hv_utils uio_hv_generic
	[Install]
	WantedBy=sysinit.target
	U
	# What the rig's image looks through at boot, and the VMBus
	cat >/etc/systemd/system/systemd-udev-trigger.service.d/vmbus.conf <<-'U'
	[Service]
	ExecStart=
	ExecStart=-udevadm trigger --type=all --action=add --prioritized-subsystem=module,block \
		--subsystem-match=block --subsystem-match=misc --subsystem-match=vmbus --subsystem-match=uio
	U
	# Ordered as the one of cloud-init
	cat >/etc/systemd/system/cloud-init-local.service <<-'U'
	[Unit]
	DefaultDependencies=no
	Wants=network-pre.target
	After=hv_kvp_daemon.service
	After=systemd-remount-fs.service
	Before=NetworkManager.service network-pre.target shutdown.target sysinit.target
	Conflicts=shutdown.target
	[Service]
	Type=oneshot
	RemainAfterExit=yes
	ExecStart=/bin/true
	[Install]
	WantedBy=multi-user.target
	U
	systemctl enable -q rig-vmbus cloud-init-local
}

case $1 in
c-daemons)
	prepare
	say 'the C daemons, as Debian packages them'
	dpkg -i "$packages"/hyperv-daemons.deb
	udevadm trigger --settle --subsystem-match=misc
	wait_for systemctl is-active hv-kvp-daemon
	wait_for kvp_is_answered first
	systemctl reboot
	;;

measure)
	wait_for systemctl is-system-running
	sleep 5
	measure "$2"
	systemctl reboot
	;;

replace)
	say 'booted with the C daemons'
	[[ $(systemd-detect-virt) == microsoft ]]
	wait_for kvp_is_answered 'from the C daemon'
	sleep 5
	measure c
	pgrep -x hv_kvp_daemon
	pgrep -x hv_vss_daemon
	driver $fcopy >/var/lib/rig-fcopy-driver
	c_units >/var/lib/rig-c-units

	say 'the package of vmic takes their place'
	dpkg -i "$packages"/vmic.deb
	[[ $(dpkg-query -W -f '${db:Status-Status}' hyperv-daemons) != installed ]]
	wait_for systemctl is-active vmic-kvp
	systemctl is-active hv-kvp-daemon hv_kvp_daemon hypervkvpd
	refuse pgrep -x hv_vss_daemon
	[[ $(vmic kvp get --pool external FromHost) == 'from the C daemon' ]]
	wait_for kvp_is_answered 'from vmic'
	for unit in heartbeat shutdown timesync; do refuse systemctl is-enabled -q vmic-$unit; done
	[[ -z $(ls /etc/systemd/system/multi-user.target.wants/hv* 2>/dev/null) ]]
	quiet_journal
	systemctl reboot
	;;

use)
	say 'booted with vmic: the device brought it, nothing waited for it'
	wait_for systemctl is-active vmic-kvp
	systemctl is-active cloud-init-local
	wait_for systemctl is-system-running
	wait_for asleep
	measure vmic
	refuse grep -r '^\(After\|Wants\|Requires\)=.*vmic' --include='*.target' \
		/usr/lib/systemd/system /etc/systemd/system
	refuse sh -c 'systemd-analyze critical-chain | grep vmic'
	systemd-analyze verify --man=no vmic-kvp.service vmic-heartbeat.service \
		vmic-shutdown.service vmic-timesync.service vmic-vss.service vmic-vss.socket \
		vmic-fcopy.service vmic-fcopy.socket vmic-fcopy-channel.service
	quiet_journal

	say 'what tools look for: one process of that name, its device, five pools that all may read'
	[[ $(pgrep -c 'hypervkvpd|hv_kvp_daemon') == 1 ]]
	[[ $(pgrep -cf 'hypervkvpd|hv_kvp_daemon') == 1 ]]
	pid=$(pgrep 'hypervkvpd|hv_kvp_daemon')
	[[ $(state hv_kvp_daemon MainPID) == "$pid" ]]
	[[ -n $(find /proc/"$pid"/fd -lname /dev/vmbus/hv_kvp) ]]
	[[ $(stat -c %a /var/lib/hyperv/.kvp_pool_{0..4} | xargs) == '644 644 644 644 644' ]]
	command -v hv_kvp_daemon

	say 'data exchange'
	[[ $(vmic kvp get --pool external FromHost) == 'from vmic' ]]
	kvp_is_answered 'after a boot'
	vmic kvp set FromGuest 'ja, schön'
	hostctl.py kvp get 1 FromGuest | grep >/dev/null 'ja, schön'
	hostctl.py kvp delete 0 FromHost

	leave_soon
	say 'on demand: no process, and answered all the same'
	if has vmic-kvp.socket; then
		systemctl disable -q vmic-kvp.service
		systemctl stop vmic-kvp.service
		systemctl enable -q --now vmic-kvp.socket
		wait_for kvp_is_answered 'on demand'
		nobody() { [[ -z $(pgrep 'hv_kvp_daemon') ]]; }
		wait_for nobody
		kvp_is_answered 'on demand, again'
		systemctl disable -q --now vmic-kvp.socket
		systemctl stop vmic-kvp.service
		systemctl enable -q --now vmic-kvp.service
		kvp_is_answered 'resident again'
	fi

	say 'backup and file copy: held by systemd, no process'
	channels_are_held
	channel_of_fcopy
	bind_what_nobody_has
	healthy
	say 'backup'
	use_backup
	say 'file copy'
	use_file_copy
	healthy
	quiet_journal

	say 'heartbeat, shutdown, time: enabled by hand, over UIO where the kernel can'
	systemctl enable -q --now vmic-heartbeat vmic-shutdown vmic-timesync
	if [[ $old_kernel == yes ]]; then
		hostctl.py heartbeat 3
		is_driver $heartbeat hv_utils
		[[ $(systemctl is-system-running) == running ]]
	else
		wait_for taken_over
		hostctl.py heartbeat 3
		hostctl.py timesync sample
		vmic timesync status
		quiet_journal
	fi

	say 'upgrade, while the host asks'
	actions=(kvp set 0 Upgraded no)
	for _ in {1..60}; do actions+=(then kvp get 0 Upgraded then sleep 0.3); done
	hostctl.py --timeout 120 "${actions[@]}" >/rig/out/upgrade.txt 2>&1 &
	asking=$!
	sleep 2
	before=$(state vmic-kvp MainPID)
	dpkg -i "$packages"/vmic-next.deb
	[[ $(state vmic-kvp MainPID) != "$before" ]]
	wait $asking
	echo "answered: $(grep -c . /rig/out/upgrade.txt) lines"
	systemctl is-active vmic-kvp
	systemctl is-enabled vmic-kvp vmic-heartbeat
	if [[ $old_kernel == no ]]; then
		wait_for taken_over
		hostctl.py heartbeat 3
		quiet_journal
	fi

	if [[ -e $packages/vmic-bundled-node.deb ]]; then
		say 'the flavour with its own Node.js: same services, same choices'
		dpkg -i "$packages"/vmic-bundled-node.deb
		wait_for systemctl is-active vmic-kvp
		readlink /proc/"$(state vmic-kvp MainPID)"/exe | grep -x >/dev/null /usr/lib/vmic/node
		[[ $(pgrep -c hv_kvp_daemon) == 1 ]]
		kvp_is_answered bundled
		systemctl is-enabled vmic-heartbeat
		wait_for is_driver $heartbeat uio_hv_generic
		sleep 5
		measure bundled
		dpkg --purge vmic
		vmic kvp get --pool external FromHost
		[[ -x /etc/cloud/clean.d/80-vmic ]]
		dpkg -i "$packages"/vmic-next.deb
		dpkg --purge vmic-bundled-node
		wait_for kvp_is_answered 'back'
	fi

	say 'backup and file copy after upgrades; killed in a freeze'
	channels_are_held
	use_file_copy
	kill_in_freeze
	rm $rig_configuration

	say 'removed: the kernel is in charge, values stay'
	dpkg -r vmic
	for class in $heartbeat $shutdown $timesync; do is_driver "$class" hv_utils; done
	hostctl.py heartbeat 3
	[[ -z $(idle_processes) ]]
	refuse systemctl cat vmic-kvp
	refuse systemctl cat hv_kvp_daemon
	grep -a >/dev/null Upgraded /var/lib/hyperv/.kvp_pool_0

	say 'the C daemons come back'
	dpkg -i "$packages"/hyperv-daemons.deb
	udevadm trigger --settle --subsystem-match=misc
	wait_for systemctl is-active hv-kvp-daemon
	wait_for pgrep -x hv_kvp_daemon
	wait_for kvp_is_answered 'the C daemon again'
	c_units_are_back() { c_units | diff /var/lib/rig-c-units -; }
	wait_for c_units_are_back || c_units_are_back
	dpkg --purge vmic
	[[ -e /var/lib/hyperv/.kvp_pool_0 ]]
	[[ -z $(find /etc/systemd /var/lib/vmic /etc/vmic -name 'vmic*' 2>/dev/null) ]]

	say 'purged without them, nothing is left'
	dpkg --purge hyperv-daemons
	dpkg -i "$packages"/vmic.deb
	wait_for systemctl is-active vmic-kvp
	kvp_is_answered last
	systemctl disable -q vmic-kvp
	dpkg -i "$packages"/vmic-next.deb
	refuse systemctl is-enabled -q vmic-kvp
	dpkg --purge vmic
	for path in /var/lib/hyperv /etc/vmic /var/lib/vmic /usr/lib/vmic /etc/cloud; do
		[[ ! -e $path ]]
	done
	[[ -z $(find /etc/systemd /var/lib/systemd -name '*vmic*') ]]

	say 'and installed once more, for what follows'
	dpkg -i "$packages"/vmic.deb
	wait_for kvp_is_answered 'new start'
	systemctl enable -q vmic-heartbeat vmic-shutdown
	systemctl reboot
	;;

shutdown)
	say 'services enabled by hand are there from boot on; the host shuts the guest down'
	wait_for systemctl is-active vmic-kvp
	if [[ $old_kernel == no ]]; then
		wait_for systemctl is-active vmic-shutdown
		wait_for systemctl is-active vmic-heartbeat
		printf '#!/bin/sh\nenv | grep ^VMIC_ >/rig/out/hook\n' >/etc/vmic/shutdown.d/10-rig
		chmod 755 /etc/vmic/shutdown.d/10-rig
		quiet_journal
	fi
	hostctl.py --wait 120 --message 'made-up message' shutdown
	if [[ $old_kernel == no ]]; then
		wait_for test -s /rig/out/hook
		cat /rig/out/hook
	fi
	;;
esac
