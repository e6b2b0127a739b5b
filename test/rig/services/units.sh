#!/bin/bash
# Runs as root in a guest of the rig that was booted with systemd: installs units, rules and
# programs as a package would, and follows heartbeat and shutdown through their life: brought by
# their channel, killed, switched off and on, and the system's end, which is a host's wish.
# usage: units.sh FOLDER poweroff|reboot    with bin/, build/Release/vmic.node and systemd/
# Exit status 0 when all was well; the guest then goes down by itself.
set -euo pipefail
trap 'echo "FAILED in line $LINENO"
	systemctl --no-pager status "vmic-*" || true
	journalctl -u "vmic-*" --no-pager' ERR
folder=$1 mode=$2
# shellcheck source=test/rig/services/common.sh
source "$(dirname "$0")/common.sh"

hostctl() { hostctl.py --timeout 120 "$@"; }
heartbeat=/sys/bus/vmbus/devices/fd149e91-82e0-4a7d-afa6-2a4166cbd7c0
shutdown=/sys/bus/vmbus/devices/b6650ff7-33bc-4840-8048-e0676786f393
driver() { basename "$(readlink $heartbeat/driver)"; }
is_bound() { [[ $(driver) == "$1" ]]; }
shutdown_is_bound() { [[ $(basename "$(readlink $shutdown/driver)") == uio_hv_generic ]]; }
application_state() {
	python3 - <<-'P' | tail -n 1
	import sys
	sys.path.insert(0, "/opt/services")
	from common import *
	c = Channel("heartbeat", 30)
	c.negotiate()
	print("state", beat_on(c)[2])
	P
}
state_is() { [[ $(application_state) == "state $1" ]]; }

say install
mkdir -p /etc/vmic/health.d /etc/vmic/shutdown.d
install_vmic "$folder" vmic vmic-heartbeat vmic-shutdown
cp "$folder"/systemd/vmic-{heartbeat,shutdown}.service /usr/lib/systemd/system
for service in heartbeat shutdown; do allow_in_rig vmic-$service.service; done
cat >/etc/vmic/config.toml <<'T'
[heartbeat]
interval_secs = 1
check_interval_secs = 1
units = ["app.service"]
[shutdown]
least_timeout_secs = 5
T
printf '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n' \
	>/etc/systemd/system/app.service
systemctl daemon-reload
systemd-analyze verify vmic-heartbeat.service vmic-shutdown.service
systemctl start app
state_is unknown

say 'enabled, the services are brought by their channels'
systemctl enable vmic-heartbeat vmic-shutdown
udevadm control --reload
udevadm trigger --settle --subsystem-match=vmbus
wait_for systemctl is-active vmic-heartbeat
wait_for systemctl is-active vmic-shutdown
is_bound uio_hv_generic
systemctl is-system-running || true
wait_for state_is healthy

say 'a watched unit fails, and is repaired'
mkdir -p /etc/systemd/system/app.service.d
printf '[Service]\nExecStart=\nExecStart=/bin/false\n' \
	>/etc/systemd/system/app.service.d/broken.conf
systemctl daemon-reload
systemctl restart app || true
wait_for state_is critical
rm -r /etc/systemd/system/app.service.d
systemctl daemon-reload
systemctl restart app
wait_for state_is healthy

say 'a check says no; within the sandbox it can ask systemd and the network'
cat >/etc/vmic/health.d/app <<'C'
#!/bin/sh
systemctl is-active app >/dev/null &&
	python3 -c 'import socket; socket.create_server(("127.0.0.1", 7777))' && test ! -e /etc/broken
C
touch /etc/broken
chmod 755 /etc/vmic/health.d/app
wait_for state_is critical
rm /etc/broken
wait_for state_is healthy

say 'killed and not started again: hv_utils answers the next beat'
mkdir -p /run/systemd/system/vmic-heartbeat.service.d
printf '[Service]\nRestart=no\n' \
	>/run/systemd/system/vmic-heartbeat.service.d/once.conf
systemctl daemon-reload
kill -9 "$(state vmic-heartbeat MainPID)"
wait_for is_bound hv_utils
state_is unknown
rm -r /run/systemd/system/vmic-heartbeat.service.d
systemctl daemon-reload
systemctl reset-failed vmic-heartbeat

say 'killed and started again'
systemctl start vmic-heartbeat
wait_for state_is healthy
before=$(state vmic-heartbeat MainPID)
kill -9 "$before"
restarted() {
	[[ $(state vmic-heartbeat MainPID) != @(0|"$before") ]] &&
		systemctl is-active -q vmic-heartbeat
}
wait_for restarted
wait_for state_is healthy

say 'stopped: the kernel is in charge'
systemctl stop vmic-heartbeat
is_bound hv_utils
state_is unknown
systemctl start vmic-heartbeat
wait_for state_is healthy

say 'switched off on the host, and on again at once, and after a while: the services come back'
for pause in 0 5; do
	hostctl rescind heartbeat then rescind shutdown then sleep $pause \
		then offer heartbeat then offer shutdown
	wait_for is_bound uio_hv_generic
	wait_for state_is healthy
	wait_for systemctl is-active vmic-shutdown
done
wait_for shutdown_is_bound

say 'a program that blocks a shutdown is respected'
systemd-run -q --unit=backup systemd-inhibit --what=shutdown --who=backup --why=halfway \
	--mode=block sleep infinity
inhibited() {
	busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager \
		ListInhibitors | grep >/dev/null halfway
}
wait_for inhibited
refuse hostctl shutdown
wait_for has_logged vmic-shutdown 'backup: halfway'
systemctl stop backup

say 'the system goes down as the host wishes, however slow a service is; beats say so to the last'
printf '#!/bin/sh\nenv | grep ^VMIC_ >/rig/out/hook\nsystemctl stop app\n' \
	>/etc/vmic/shutdown.d/10-app
chmod 755 /etc/vmic/shutdown.d/10-app
# Does not end by itself within the host's 20 s, nor within systemd's patience
cat >/etc/systemd/system/stubborn.service <<'S'
[Service]
ExecStart=/bin/sleep infinity
ExecStop=/bin/sleep 600
TimeoutStopSec=600
S
systemctl daemon-reload
systemctl start stubborn
wish=()
[[ $mode != reboot ]] || wish=(restart)
hostctl --wait 20 --message 'made-up message' shutdown "${wish[@]}" force
wait_for test -s /rig/out/hook
cat /rig/out/hook
wait_for state_is stopped
# The rest is the rig's to see
echo 'beats say that the system goes down'
