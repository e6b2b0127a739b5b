#!/bin/bash
# Runs several tests in one boot of the guest, also after one that failed.
# usage: parts.sh COMMAND...     each COMMAND is one line for the shell
# Says how each ended, in lines that test/rig/vm.ts reads. Exit status 1 when any failed.
uptime_secs() { cut -d . -f 1 /proc/uptime; } # the tests set the clock
failed=0 number=0
for command; do
	number=$((number + 1))
	printf '\n=== part %d begins: %s\n' $number "$command"
	began=$(uptime_secs)
	bash -c "$command"
	status=$?
	[ $status = 0 ] || failed=1
	printf '=== part %d ended with %d after %d s\n' $number $status $(($(uptime_secs) - began))
done
exit $failed
