#!/bin/bash
# Runs as root in a guest of the rig that was booted with systemd: installs unit, rule and programs
# as a package would, has the device bring the service, and uses it. Exit status 0 when all was
# well.
# usage: unit-in-guest.sh FOLDER     with bin/, build/Release/vmic.node and systemd/
# (grep -q would end before its input does, which pipefail takes for a failure.)
set -euo pipefail
trap 'echo "FAILED in line $LINENO"
systemctl status vmic-kvp --no-pager
journalctl -u vmic-kvp --no-pager' ERR
folder=$1

say() { printf '\n--- %s\n' "$*"; }
# The emulated machine is slow: waits are long, and end as soon as they can.
# "!" would keep a failure from ending the script.
refuse() { if "$@"; then echo "should have failed: $*"; return 1; fi; }
wait_for() {
	for _ in {1..1500}; do
		"$@" >/dev/null 2>&1 && return
		sleep 0.2
	done
	echo "waited in vain for: $*"
	return 1
}

say install
mkdir -p /usr/lib/vmic/bin /usr/lib/vmic/build/Release /usr/lib/systemd/system /usr/lib/udev/rules.d
cp "$folder"/bin/* /usr/lib/vmic/bin
cp "$folder"/build/Release/vmic.node /usr/lib/vmic/build/Release
ln -s ../lib/vmic/bin/vmic ../lib/vmic/bin/vmic-kvp /usr/bin
ln -s ../lib/vmic/bin/vmic-kvp /usr/sbin/hv_kvp_daemon
cp "$folder"/systemd/*.service /usr/lib/systemd/system
for name in hv-kvp-daemon hv_kvp_daemon hypervkvpd; do
	ln -s vmic-kvp.service /usr/lib/systemd/system/$name.service
done
cp "$folder"/systemd/70-vmic.rules /usr/lib/udev/rules.d
systemctl daemon-reload
systemd-analyze verify vmic-kvp.service
systemd-analyze security --threshold=25 vmic-kvp.service | tail -n 1

say 'elsewhere than on Hyper-V the condition keeps it from starting (the rig looks like plain QEMU)'
systemctl start vmic-kvp
refuse systemctl is-active vmic-kvp
systemctl show -p ConditionResult vmic-kvp | grep -x >/dev/null ConditionResult=no
mkdir /etc/systemd/system/vmic-kvp.service.d
printf '[Unit]\nConditionVirtualization=\n' >/etc/systemd/system/vmic-kvp.service.d/rig.conf
systemctl daemon-reload

say 'enabled, it is started by the device'
systemctl enable vmic-kvp
udevadm control --reload
udevadm trigger --settle --subsystem-match=misc
wait_for systemctl is-active vmic-kvp
systemctl is-active hv-kvp-daemon hv_kvp_daemon hypervkvpd
# READY comes with the registration, so the host can talk to it at once.
hostctl.py kvp set 0 FromHost välue then kvp get 0 FromHost then kvp enum 2
[[ $(vmic kvp get --pool external FromHost) == välue ]]

say 'the sandbox lets everything through: guest writes, the host reads; other modes and owners stay'
vmic kvp set FromGuest 'ja, schön'
hostctl.py kvp get 1 FromGuest | grep >/dev/null 'ja, schön'
[[ $(stat -c %a /var/lib/hyperv /var/lib/hyperv/.kvp_pool_1 | xargs) == '755 644' ]]
pools=(/var/lib/hyperv/.kvp_pool_?)
[[ ${#pools[@]} == 5 ]]

say 'addresses change while it runs: netlink reaches it'
ip link add dummy0 type dummy
ip addr add 192.0.2.33/24 dev dummy0
ip link set dummy0 up
told() { hostctl.py kvp enum 2 | grep >/dev/null -F 192.0.2.33; }
wait_for told

say 'killed, it is started again and answers'
before=$(systemctl show -p MainPID --value vmic-kvp)
kill -9 "$before"
restarted() {
	[[ $(systemctl show -p MainPID --value vmic-kvp) != @(0|"$before") ]] &&
		systemctl is-active -q vmic-kvp
}
wait_for restarted
hostctl.py kvp get 0 FromHost

say 'the device goes, and comes back: the service is there'
hostctl.py rescind kvp
wait_for test ! -e /dev/vmbus/hv_kvp
hostctl.py offer kvp
wait_for test -e /dev/vmbus/hv_kvp
wait_for hostctl.py kvp get 0 FromHost
wait_for systemctl is-active vmic-kvp

say 'stopped on request it ends with status 0'
systemctl stop vmic-kvp
systemctl show -p Result -p ExecMainStatus vmic-kvp | xargs |
	grep -x >/dev/null 'Result=success ExecMainStatus=0'

say 'disabled, the device no longer starts it'
systemctl disable vmic-kvp
hostctl.py rescind kvp
wait_for test ! -e /dev/vmbus/hv_kvp
hostctl.py offer kvp
wait_for systemctl is-active dev-vmbus-hv_kvp.device
refuse systemctl is-active vmic-kvp
refuse journalctl -u vmic-kvp -p err --no-pager --grep .
