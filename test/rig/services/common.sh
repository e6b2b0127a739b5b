# What the shell tests of units share inside the guest; sourced by them.
# shellcheck shell=bash

say() { printf '\n--- %s\n' "$*"; }
# "!" would keep a failure from ending the script.
refuse() {
	if "$@"; then
		echo "should have failed: $*"
		return 1
	fi
}
# Waits until a command succeeds. The limit is only there against hanging for ever. SECONDS and date
# follow the clock, which tests set.
wait_for() {
	local end
	end=$(($(cut -d . -f 1 /proc/uptime) + 300))
	until "$@" >/dev/null 2>&1; do
		if (($(cut -d . -f 1 /proc/uptime) >= end)); then
			echo "waited in vain for: $*"
			return 1
		fi
		sleep 0.5
	done
}
state() { systemctl show -p "$2" --value "$1"; }
# has_logged UNIT TEXT: a line may reach the journal after what it tells of
has_logged() { journalctl -u "$1" -o cat --no-pager | grep -F >/dev/null -- "$2"; }

# Takes the rules of an earlier test away, so that systemd sees the devices appear once more.
forget_devices() {
	local rules=/usr/lib/udev/rules.d/70-vmic.rules
	[[ -e $rules ]] || return 0
	rm $rules
	udevadm control --reload
	udevadm trigger --settle --subsystem-match=vmbus --subsystem-match=misc --subsystem-match=uio
	devices_are_gone() {
		[[ -z $(systemctl list-units --no-legend --plain --state=active \
			'dev-vmbus-*.device' 'vmic-*.device') ]]
	}
	wait_for devices_are_gone
}
# install_vmic FOLDER NAME...: puts programs of FOLDER/bin, the addon and the rules where a package
# puts them. Several tests may do so in one guest.
install_vmic() {
	local folder=$1 name
	shift
	forget_devices
	mkdir -p /usr/lib/vmic/bin /usr/lib/vmic/build/Release /usr/lib/systemd/system \
		/usr/lib/udev/rules.d /etc/vmic
	cp "$folder"/bin/* /usr/lib/vmic/bin
	cp "$folder"/build/Release/vmic.node /usr/lib/vmic/build/Release
	for name; do ln -sf "../lib/vmic/bin/$name" "/usr/bin/$name"; done
	cp "$folder"/systemd/70-vmic.rules /usr/lib/udev/rules.d
}
# Lets a unit start here, where the machine looks like plain QEMU; further lines go into [Unit].
allow_in_rig() {
	mkdir -p "/etc/systemd/system/$1.d"
	printf '[Unit]\nConditionVirtualization=\n%s\n' "${2-}" >"/etc/systemd/system/$1.d/rig.conf"
}
