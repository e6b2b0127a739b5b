#!/usr/bin/python3
"""The heartbeat channel: with hv_utils, in user space, killed, switched off and on, and back. Exit
status 0: all as it should be."""

from common import *

note("kernel %s" % os.uname().release)
check("hv_utils answers, and says nothing of applications", beat(7), (0, 8, "unknown"))

if os.uname().release.startswith("6.1."):
    note("a kernel whose uio_hv_generic refuses channels without a monitor page")
    status, _, errors = vmic("bind", "heartbeat")
    check(
        "vmic bind fails, and says why",
        (status, "monitor page" in errors, "error 524" in errors, "6.12" in errors),
        (6, True, True, True),
    )
    check("all is as it was", (driver("heartbeat"), override("heartbeat")), ("hv_utils", "(null)"))
    check("hv_utils goes on answering", beat(9), (0, 10, "unknown"))
    check("release has nothing to do", vmic("release", "heartbeat")[0], 0)
    verdict()

CHECKS = "/run/health.d"
os.makedirs(CHECKS)
SETTINGS = ("checks_directory=" + CHECKS, "check_interval_secs=1", "interval_secs=1")


def check_script(text):
    put(CHECKS + "/app.new", "#!/bin/sh\n%s\n" % text)
    os.chmod(CHECKS + "/app.new", 0o755)
    os.rename(CHECKS + "/app.new", CHECKS + "/app")


def await_state(c, wanted):
    return until("the state becomes " + wanted, lambda: beat_on(c, 1)[2] == wanted)


note("the channel goes to user space")
status, moved, _ = vmic("bind", "heartbeat")
check(
    "vmic bind",
    (status, moved["driver"], moved["previousDriver"], moved["changed"]),
    (0, "uio_hv_generic", "hv_utils", True),
)
check(
    "driver and override",
    (driver("heartbeat"), override("heartbeat")),
    ("uio_hv_generic", "uio_hv_generic"),
)
status, again, _ = vmic("bind", "heartbeat")
check(
    "again: nothing to do", (status, again["changed"], again["device"]), (0, False, moved["device"])
)
daemon = Daemon("heartbeat", *SETTINGS)
check("a beat", beat(41), (0, 42, "unknown"))

note("beats, and what an application's check says")
c = Channel("heartbeat", 30)
check("negotiated", c.negotiate(), True)
check(
    "fifty beats",
    [beat_on(c, n)[:2] for n in range(1, 101, 2)],
    [(0, n + 1) for n in range(1, 101, 2)],
)
check("the last sequence", beat_on(c, 2**64 - 1)[:2], (0, 0))
check_script("echo it broke; exit 3")
await_state(c, "critical")
daemon.await_logged("app: exit status 3: it broke")  # the beat may be ahead of the log
note("a check that hangs holds up no beat")
check_script("exec sleep 1000")
began = time.monotonic()
while time.monotonic() - began < 4:
    check("a beat", beat_on(c, 5)[:2], (0, 6))
    time.sleep(0.5)
check_script("exit 0")
await_state(c, "unknown")  # as without systemd
c.close()

note("the daemon is killed; what its unit does then gives the channel back")
daemon.stop(signal.SIGKILL)
status, moved, _ = vmic("release", "heartbeat")
check("vmic release", (status, moved["driver"], moved["changed"]), (0, "hv_utils", True))
check(
    "the next beat is answered by hv_utils",
    (beat(11), driver("heartbeat"), override("heartbeat")),
    ((0, 12, "unknown"), "hv_utils", "(null)"),
)
check("release again: nothing to do", vmic("release", "heartbeat")[1]["changed"], False)

note("and to user space again")
check("vmic bind", vmic("bind", "heartbeat")[0], 0)
check_script("exit 1")
daemon = Daemon("heartbeat", *SETTINGS)
c = Channel("heartbeat", 30)
check("negotiated", c.negotiate(), True)
await_state(c, "critical")
c.close()

note("the service is switched off on the host, and on again")
put("/dev/vmbus-host/ctl", "rescind heartbeat")
until("the channel is gone", lambda: device("heartbeat") is None)
daemon.await_logged("The device went away")
check("nothing to bind now", vmic("bind", "heartbeat")[0], 1)
check("nothing to release", vmic("release", "heartbeat")[0], 1)
check("the daemon waits", daemon.process.poll(), None)
offer("heartbeat")
until("the channel is back, with hv_utils", lambda: driver("heartbeat") == "hv_utils")
check("which answers", beat(21), (0, 22, "unknown"))
check("vmic bind", vmic("bind", "heartbeat")[0], 0)
c = Channel("heartbeat", 60)
check("negotiated", c.negotiate(), True)
await_state(c, "critical")
c.close()

note("a release while the daemon runs is refused: the kernel would leave the channel open for ever")
status, _, errors = vmic("release", "heartbeat")
check("vmic release", (status, "is in use by process %d" % daemon.process.pid in errors), (5, True))
check(
    "all is as it was",
    (driver("heartbeat"), override("heartbeat")),
    ("uio_hv_generic", "uio_hv_generic"),
)
check("and the daemon answers", beat(31)[:2], (0, 32))
check("SIGTERM ends the daemon cleanly", daemon.stop(), 0)
check("vmic release", vmic("release", "heartbeat")[0], 0)
check("hv_utils answers", beat(33), (0, 34, "unknown"))
verdict()
