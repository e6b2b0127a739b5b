#!/usr/bin/python3
"""Backups through the real hv_utils, then over UIO, with the root file system, ext4, xfs and btrfs
really frozen. Exit status 0: all as it should be. --reference runs the C daemon instead: what fails
then is known of it."""

from vss_guest import *


def others_freeze(h, writers):
    note("somebody else's freeze stays his")
    xfs = [w for w in writers if w.name == "xfs"]
    sh("fsfreeze -f /mnt/xfs")
    check("freeze", h.freeze(), OK)
    check("all stand still", stands_still(writers), names(writers))
    check("thaw", h.thaw(), OK)
    for w in writers:
        if w not in xfs:
            w.moves()
    check("still his", stands_still(xfs), names(xfs))
    sh("fsfreeze -u /mnt/xfs")
    xfs[0].moves()


def killed(h, writers, who, d):
    """Ends processes by SIGKILL while all is frozen; gives a daemon that serves."""
    note("%s killed while / is frozen" % who)
    check("freeze", h.freeze(), OK)
    check("all stand still", stands_still(writers, 0.5), names(writers))
    guard = d.guard()
    if not check("there is a guard", guard is not None, True):
        verdict()
    began = time.monotonic()
    if who == "daemon":
        d.process.kill()
    else:
        os.kill(guard, signal.SIGKILL)
    for w in writers:
        w.moves()
    note("all thawed within %.1f s" % (time.monotonic() - began))
    if who == "daemon":
        d.process.wait()
        d.logger.wait(30)
        h.close()
        d = Vssd(*SETTINGS)
        d.await_serving()
        h = Host()
    check("the thaw of a freeze that was lost fails", h.thaw() != OK, True)
    return h, d


def silent(h, writers):
    note("a host that says nothing after the freeze")
    check("freeze", h.freeze(), OK)
    for w in writers:
        w.moves()
    check("its thaw comes too late, and fails", h.thaw() != OK, True)


def device_gone(h, writers, d, path):
    note("the service is switched off on the host while / is frozen")
    check("freeze", h.freeze(), OK)
    h.close()
    put("/dev/vmbus-host/ctl", "rescind vss")
    for w in writers:
        w.moves()
    until("the daemon let go of %s" % path, lambda: not d.has_open(path))
    check("the daemon is still there", d.process.poll(), None)
    until("the channel is gone", lambda: device("vss") is None)
    put("/dev/vmbus-host/ctl", "offer vss")


def terminated(h, writers, d):
    note("the daemon is told to stop while / is frozen")
    check("freeze", h.freeze(), OK)
    check("all stand still", stands_still(writers, 0.5), names(writers))
    check("SIGTERM ends it cleanly", d.stop(), 0)
    for w in writers:
        w.moves()


def over_uio(writers):
    note("the channel goes to user space")
    status, moved, _ = vmic("bind", "vss")
    check("vmic bind", (status, moved["driver"]), (0, "uio_hv_generic"))
    path = moved["device"]
    d = Vssd(*SETTINGS, transport="uio:")
    d.await_serving(path)
    h = Host()
    check("hot backup check: no auto recovery", (h.check(), h.flags), (OK, 5))
    check("devices info", (h.op(3), h.flags), (OK, 0))
    check("backup complete", h.op(4), OK)
    check(
        "what nobody knows, and what is of 6.0", [h.op(n) for n in (8, 9, 255)], [NOT_SUPPORTED] * 3
    )
    disks = struct.pack("<II", 0, 2) + bytes([1] * 48).ljust(260 * 24, b"\0")
    backup(h, writers, disks)
    check(
        "a freeze of more disks than there can be",
        h.freeze(struct.pack("<II", 0, 261) + disks[8:]) != OK,
        True,
    )
    check("and after that all is well", stands_still(writers, 0.2), [])
    check("SIGTERM while nothing is frozen", d.stop(), 0)
    d = Vssd(*SETTINGS, transport="uio:")
    d.await_serving(path)
    h.close()
    h = Host()
    h, d = killed(h, writers, "guard", d)
    device_gone(h, writers, d, path)
    until("the channel is back, with hv_utils", lambda: driver("vss") == "hv_utils")
    check("SIGTERM ends it cleanly", d.stop(), 0)


OLD = os.uname().release.startswith(
    "6.1."
)  # its uio_hv_generic takes no channel without a monitor page
NOT_SUPPORTED = 0x80070032
SETTINGS = ("vss.limit_secs=60",)
note("kernel %s, daemon %s" % (os.uname().release, "hv_vss_daemon" if REFERENCE else "vmic-vss"))
make_file_systems()
writers = start_writers()
daemon = Vssd(*SETTINGS)
daemon.await_serving()
host = Host()
backup(host, writers)
check("hv_utils answers the rest by itself", [host.op(n) for n in (0, 1, 3, 4, 7, 9)], [OK] * 6)
backup(host, writers)
others_freeze(host, writers)
# Half a minute where most is tried; elsewhere that would be a minute more of the same
quiet_for(host, daemon, writers, 30 if os.uname().release.startswith("6.12.") else 5)
if REFERENCE:
    verdict()
for who in ("daemon", "guard"):
    host, daemon = killed(host, writers, who, daemon)
device_gone(host, writers, daemon, CHARDEV)
daemon.await_serving()
host = Host()
backup(host, writers)
terminated(host, writers, daemon)

note("a daemon of less patience")
daemon = Vssd("vss.limit_secs=5")
daemon.await_serving()
silent(host, writers)
host.close()
check("SIGTERM ends it cleanly", daemon.stop(), 0)
if not OLD:
    over_uio(writers)
verdict()
