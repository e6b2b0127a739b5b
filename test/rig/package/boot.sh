#!/bin/bash
# boot.sh [KERNEL [BOOTS]]   how long a Debian 13 boots with Debian's C daemons, and with vmic's package instead: a table
# The guest's clock counts instructions here (run.sh --icount), one a nanosecond, so the machine's own load does not matter; it still is no
# real machine's time. Needs setup.sh KERNEL, and what npm run package:deb needs.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
kernel=${1:-6.12} boots=${2:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/package"
cp "$here"/*.sh "$work/package"
"$here/c-daemons.sh" "$kernel" "$work/package/hyperv-daemons.deb" 2>/dev/null
version=$(node -p 'require(process.argv[1]).version' "$here/../../../package.json")
node "$here/../../../packaging/deb.mjs" --arch amd64 --flavour vmic 2>/dev/null
cp "$here/../../../dist/vmic_${version}_amd64.deb" "$work/package/vmic.deb"
cp "$work/package/vmic.deb" "$work/package/vmic-next.deb"

boot() {	# boot DISK OPTION... -- COMMAND...
	local disk=$1
	shift
	"$here/../run.sh" --kernel "$kernel" --systemd --as-hyperv --keep "$disk" --timeout 900 --expect reboot --expect-wait 120 \
		--copy "$work/package:/opt/package" "$@" 2>"$work/log" || { echo "run.sh: $?" >&2; cat "$work/log" >&2; return 1; }
}
boot "$work/c.qcow2" -- bash /opt/package/system.sh c-daemons >"$work/said" || { cat "$work/said" >&2; exit 1; }
cp "$work/c.qcow2" "$work/vmic.qcow2"
boot "$work/vmic.qcow2" -- bash /opt/package/system.sh replace >"$work/said" || { cat "$work/said" >&2; exit 1; }
# The first boot after an installation does more than others
for which in c vmic; do boot "$work/$which.qcow2" --icount -- bash /opt/package/boot-in-guest.sh "$which" >/dev/null; done

echo "kernel $kernel, seconds of 10^9 instructions since the kernel began"
printf '%-6s %18s %18s %18s\n' '' 'multi-user.target' 'cloud-init-local' 'KVP is served'
for ((n = 0; n < boots; n++)); do
	for which in c vmic; do boot "$work/$which.qcow2" --icount -- bash /opt/package/boot-in-guest.sh "$which" | grep "^$which "; done
done
