#!/bin/bash
# c-daemons.sh KERNEL FILE   puts Debian's package of the C daemons for one of the rig's kernels
# into FILE. Needs setup.sh KERNEL.
set -euo pipefail
W=${RIG_WORK:-${XDG_CACHE_HOME:-$HOME/.cache}/vmic-rig}
version=$(sed -n 's/^hyperv-daemons \([^ ]*\).*/\1/p' "$W/k$1/daemons")
cached=$W/deb/hyperv-daemons_${version}_amd64.deb
if [ ! -e "$cached" ]; then
	# Set up before setup.sh kept it. Not while another one changes the sources
	exec 9>"$W/.lock"
	flock 9
	work=$(mktemp -d "$W/deb/new.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	cd "$work"
	# The sources that setup.sh wrote, apart from the machine's
	apt-get -q -o Dir::Etc::sourcelist="$W/apt/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::Etc::preferencesparts=- -o Dir::State::lists="$W/apt/lists" \
		-o Dir::Cache="$W/apt/cache" -o APT::Sandbox::User=root download "hyperv-daemons=$version"
	mv ./*.deb "$cached"
fi
cp "$cached" "$2"
