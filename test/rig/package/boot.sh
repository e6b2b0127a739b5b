#!/bin/bash
# boot.sh [KERNEL [BOOTS]]   a table: how long a Debian 13 boots with Debian's C daemons, and with
# vmic's package instead. The guest's clock counts instructions, one a nanosecond, so the load of
# the machine does not matter. No real machine needs these times. Needs setup.sh KERNEL, and what
# npm run package:deb needs.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
kernel=${1:-6.12} boots=${2:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/package"
cp "$here"/*.sh "$here/../services/common.sh" "$work/package"
"$here/c-daemons.sh" "$kernel" "$work/package/hyperv-daemons.deb" 2>/dev/null
version=$(node -p 'require(process.argv[1]).version' "$here/../../../package.json")
node "$here/../../../packaging/deb.mjs" --arch amd64 --flavour vmic 2>/dev/null
cp "$here/../../../dist/vmic_${version}_amd64.deb" "$work/package/vmic.deb"
cp "$work/package/vmic.deb" "$work/package/vmic-next.deb"

boot() {	# boot DISK OPTION... -- COMMAND...
	local disk=$1
	shift
	"$here/../run.sh" --kernel "$kernel" --systemd --as-hyperv --keep "$disk" \
		--expect reboot --expect-wait 600 --copy "$work/package:/opt/package" "$@" 2>"$work/log" ||
		{ echo "run.sh: $?" >&2; cat "$work/log" >&2; return 1; }
}
phase() {	# phase NAME DISK
	boot "$2" -- bash /opt/package/system.sh "$1" >"$work/said" || { cat "$work/said" >&2; exit 1; }
}
once() { boot "$work/$1.qcow2" -- bash /opt/package/boot-in-guest.sh "$1"; }
phase c-daemons "$work/c.qcow2"
cp "$work/c.qcow2" "$work/vmic.qcow2"
phase replace "$work/vmic.qcow2"
# The first boot after an installation does more than others
for which in c vmic; do once $which >/dev/null; done

echo "kernel $kernel, seconds of 10^9 instructions since the kernel began"
printf '%-6s %18s %18s %18s\n' '' 'multi-user.target' 'cloud-init-local' 'KVP is served'
for ((n = 0; n < boots; n++)); do
	for which in c vmic; do once $which | grep "^$which "; done
done
