#!/bin/bash
# Runs as root in a guest of the rig that was booted with systemd: installs unit, rules and
# programs as a package would, and has files copied. The channel brings the service, which is
# killed in the middle of a file, and goes and comes with its channel.
# usage: fcopy-units.sh FOLDER    with bin/, build/Release/vmic.node and systemd/
set -euo pipefail
trap 'echo "FAILED in line $LINENO"
	systemctl --no-pager status vmic-fcopy || true
	journalctl -u vmic-fcopy --no-pager' ERR
folder=$1
# shellcheck source=test/rig/services/common.sh
source "$(dirname "$0")/common.sh"

channel=/sys/bus/vmbus/devices/eb765408-105f-49b6-b4aa-c123b64d17d4
is_serving() { [[ $(state vmic-fcopy StatusText) == serving* ]]; }
main_pid() { state vmic-fcopy MainPID; }
# copy FOLDER NAME [overwrite] [mkdir]
copy() { hostctl.py fcopy /root/source "$@" && cmp /root/source "$1$2"; }
is_as() {
	stat "$2"
	[[ $(stat -c '%U:%G %a' "$2") == "$1" ]]
}
head -c 40000 /dev/urandom >/root/source

say install
install_vmic "$folder" vmic vmic-fcopy
cp "$folder"/systemd/vmic-fcopy.service /usr/lib/systemd/system
allow_in_rig vmic-fcopy.service
systemctl daemon-reload
systemd-analyze verify vmic-fcopy.service

say 'enabled, the service is brought by its channel, and takes it'
systemctl enable vmic-fcopy
udevadm control --reload
udevadm trigger --settle --subsystem-match=vmbus --subsystem-match=misc
wait_for is_serving
readlink $channel/driver

say 'anywhere, and for anybody'
copy /var/tmp/made/deep/ file mkdir
is_as 'root:root 644' /var/tmp/made/deep/file
useradd -m guest
for place in /root/ /home/guest/ /tmp/ /run/ /etc/; do copy $place vmic-copied; done
chown guest:guest /home/guest/vmic-copied
chmod 750 /home/guest/vmic-copied
chmod 700 /home/guest
copy /home/guest/ vmic-copied overwrite
is_as 'guest:guest 750' /home/guest/vmic-copied

say 'killed in the middle of a file, nothing is left of it; the service comes back'
before=$(main_pid)
python3 - "$before" <<'P'
import sys
sys.path.insert(0, "/rig/run")
from hostctl import *
import os, signal
c = Channel("fcopy", 30)
c.negotiate()
assert c.ic(FCOPY, Fcopy.start("partial", "/root/", 40000))[0] == OK
assert c.ic(FCOPY, Fcopy.data(0, b"x" * Fcopy.CHUNK))[0] == OK
os.kill(int(sys.argv[1]), signal.SIGKILL)
P
came_back() { [[ $(main_pid) != @(0|"$before") ]] && is_serving; }
wait_for came_back
[[ -z $(find /root -name partial -o -name '*vmic-fcopy*') ]]
rm /root/vmic-copied
copy /root/ vmic-copied

say 'switched off on the host, and on again at once, and after a while: the service comes back'
served() {
	rm -f /root/vmic-copied
	hostctl.py --timeout 5 fcopy /root/source /root/ vmic-copied &&
		cmp /root/source /root/vmic-copied
}
# With hv_utils the daemon itself finds its device again, which fcopy.py sees
pauses=(0)
[ -e /dev/vmbus/hv_fcopy ] || pauses+=(5)
for pause in "${pauses[@]}"; do
	hostctl.py rescind fcopy then sleep "$pause" then offer fcopy
	wait_for served
done

say 'what it says of itself'
tells() { vmic fcopy status | grep >/dev/null /root/vmic-copied; }
wait_for tells # the daemon writes it at most once a second
vmic fcopy status
systemctl stop vmic-fcopy
systemctl disable vmic-fcopy
refuse systemctl is-failed vmic-fcopy
say 'all was well'
