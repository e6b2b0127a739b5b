#!/bin/bash
# Runs in a guest of boot.sh: prints when what was reached, in seconds, and reboots.
for _ in {1..300}; do
	[[ -z $(systemctl list-jobs --no-legend) ]] && systemctl -q is-active hv-kvp-daemon && break
	sleep 0.3
done
since() {
	awk -v us="$(systemctl show -P ActiveEnterTimestampMonotonic "$1")" \
		'BEGIN { printf "%.2f", us / 1000000 }'
}
printf '%-6s %18s %18s %18s\n' "$1" "$(since multi-user.target)" "$(since cloud-init-local)" \
	"$(since hv-kvp-daemon)"
systemctl reboot
