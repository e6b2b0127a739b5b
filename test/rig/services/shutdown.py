#!/usr/bin/python3
"""shutdown.py rehearse|poweroff|reboot: the shutdown channel in user space. The last two end the
guest: its exit is what they are about."""

from common import *

mode = sys.argv[1]
HOOKS = "/run/shutdown.d"
os.makedirs(HOOKS, exist_ok=True)
OUT = "/rig/out/hook"
if os.path.exists(OUT):  # of another test in this guest
    os.remove(OUT)


def hook(name, text):
    put(HOOKS + "/" + name, "#!/bin/sh\n%s\n" % text)
    os.chmod(HOOKS + "/" + name, 0o755)


note("kernel %s, %s" % (os.uname().release, mode))
check("vmic bind", vmic("bind", "shutdown")[0], 0)
check("driver", driver("shutdown"), "uio_hv_generic")
hook("10-tell", "env | grep ^VMIC_ >%s" % OUT)

if mode == "rehearse":
    daemon = Daemon("shutdown", "hooks_directory=" + HOOKS, "rehearse=true", "refuse=restart")
    last = "A rehearsal: the last command is not run"
    for done, flags in enumerate((0, 1)):
        check(
            "power off, flags %d" % flags,
            ask_shutdown(flags, message='"; touch /run/evil $(reboot) `reboot`'),
            0,
        )
        until("the rehearsal's end", lambda n=done + 1: daemon.count(last) == n)
    check("nothing of the host's words was run", os.path.exists("/run/evil"), False)
    told = dict(line.rstrip("\n").split("=", 1) for line in open(OUT))
    check(
        "the hook was told",
        (told["VMIC_ACTION"], told["VMIC_MESSAGE"]),
        ("power-off", '"; touch /run/evil $(reboot) `reboot`'),
    )
    check("a restart is refused, as configured", [ask_shutdown(f) for f in (2, 3)], [FAIL, FAIL])
    check("flags that mean nothing", [ask_shutdown(f) for f in (6, 7, 8, 0x80000000)], [FAIL] * 4)
    check(
        "hibernation, which this system can't do", [ask_shutdown(f) for f in (4, 5)], [FAIL, FAIL]
    )

    note("the service is switched off on the host, and on again")
    put("/dev/vmbus-host/ctl", "rescind shutdown")
    until("the channel is gone", lambda: device("shutdown") is None)
    daemon.await_logged("The device went away")
    offer("shutdown")
    until("the channel is back, with hv_utils", lambda: driver("shutdown") == "hv_utils")
    check("vmic bind", vmic("bind", "shutdown")[0], 0)
    check("a restart is refused again", ask_shutdown(2), FAIL)

    note("the daemon is killed; what its unit does then gives the channel back")
    daemon.stop(signal.SIGKILL)
    check("vmic release", vmic("release", "shutdown")[0], 0)
    check("driver", driver("shutdown"), "hv_utils")
    check("hv_utils knows no flags 6", ask_shutdown(6), FAIL)
    verdict()

daemon = Daemon("shutdown", "hooks_directory=" + HOOKS)
check("the answer comes before the guest goes", ask_shutdown(3 if mode == "reboot" else 1), 0)
until("the hook has run", lambda: os.path.exists(OUT))
daemon.await_logged("The system goes down")
verdict()
