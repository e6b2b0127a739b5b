#!/usr/bin/python3
"""The unit's life in a guest that was booted with systemd: brought by its device, and ended in each
way while / is frozen. Exit status 0: all as it should be."""

from vss_guest import *

UNIT = "vmic-vss"


def show(name):
    return subprocess.check_output(
        ["systemctl", "show", "-p", name, "--value", UNIT], text=True
    ).strip()


def running():
    return show("ActiveState") == "active" and int(show("MainPID")) or None


def install():
    note("installed as a package would")
    sh("bash -c '. /opt/services/common.sh; install_vmic /opt/vmic vmic vmic-vss'")
    sh("bash -c '. /opt/services/common.sh; allow_in_rig vmic-vss.service'")
    sh("cp /opt/vmic/systemd/vmic-vss.service /usr/lib/systemd/system; mkdir -p /etc/vmic/vss.d")
    put("/etc/vmic/vss.d/10-database", '#!/bin/sh\necho "$1" >>/run/hook-calls\n')
    os.chmod("/etc/vmic/vss.d/10-database", 0o755)
    sh("systemctl daemon-reload")
    verify = subprocess.run(
        ["systemd-analyze", "verify", "vmic-vss.service"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    check("systemd-analyze verify", (verify.returncode, verify.stdout), (0, ""))


def calls():
    return open("/run/hook-calls").read().split()


def last_freeze():
    return vmic("vss", "status")[1]["freezes"][0]


install()
make_file_systems()
writers = start_writers()
note("enabled, it is brought by its device")
sh("systemctl enable vmic-vss; udevadm control --reload")
sh("udevadm trigger --settle --subsystem-match=misc")
until("it runs", running)

note("a backup, its hook within the unit's sandbox")
host = Host()
backup(host, writers)
until("the hook was called", lambda: calls() == ["freeze", "thaw"])
until(
    "what is known of it",
    lambda: (last_freeze()["result"], last_freeze()["by"]) == ("thawed", "host"),
)

note("stopped while / is frozen")
check("freeze", host.freeze(), OK)
check("all stand still", stands_still(writers, 0.5), names(writers))
sh("systemctl stop vmic-vss")
for w in writers:
    w.moves()
check("it ended well", (show("ActiveState"), show("Result")), ("inactive", "success"))
check("its hook was told", calls(), ["freeze", "thaw"] * 2)

note("daemon and guard killed at once while / is frozen: the unit's last resort thaws")
sh("systemctl start vmic-vss")
until("it runs", running)
host.close()
host = Host()
before = running()
check("freeze", host.freeze(), OK)
check("all stand still", stands_still(writers, 0.5), names(writers))
sh("systemctl kill --signal=KILL --kill-whom=all vmic-vss")
for w in writers:
    w.moves()
until("it is started again", lambda: running() not in (None, before))
host.close()
host = Host()
check("the thaw of a freeze that was lost fails", host.thaw() != OK, True)
until("its hook was told", lambda: calls() == ["freeze", "thaw"] * 3)
until("what is known of it", lambda: last_freeze()["result"] == "interrupted")
backup(host, writers)

note("frozen by hand")
status, record, _ = vmic("vss", "freeze", "--for", "2s", "--yes")
check("vmic vss freeze", (status, record["result"], record["by"]), (0, "thawed", "command"))
for w in writers:
    w.moves()
host.close()
sh("systemctl disable --now vmic-vss")
verdict()
