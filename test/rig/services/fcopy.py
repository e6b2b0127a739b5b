#!/usr/bin/python3
"""File copy from a host: over /dev/vmbus/hv_fcopy (6.1) and over UIO (from 6.10 on), on a channel
that the daemon's own command binds."""

import stat

from common import *

CHARDEV = "/dev/vmbus/hv_fcopy"
TARGET = "/run/copied"
EXISTS, INVALID, UNSUPPORTED = 0x80070050, 0x80070057, 0x80070032
CHUNK = Fcopy.CHUNK
COMPLETE, CANCEL = Fcopy.header(2), Fcopy.header(3)
UTILS = os.uname().release.startswith("6.1.")
NAMES = ["é.txt", "į (U+012F).txt", "日本語.txt", "🚀.bin", "with spaces; and $(more)"]


def content(size, seed=1):
    return bytes((i * 31 + (i >> 8) + seed) & 255 for i in range(size))


def connect():
    c = Channel("fcopy", 60, None, 60)
    check("negotiated", (c.negotiate(), c.fw, c.mv), (True, (3, 0), (1, 1)))
    return c


def ask(c, body):
    """The status of one message; its answer has to be the request, marked as answered."""
    request = c.request(FCOPY, body)
    c.send(request)
    _, _, tid, answer = c.recv()
    status, flags = struct.unpack_from("<I", answer, 20)[0], answer[25]
    if (tid, flags, answer[28:64]) != (c.tid, 5, request[28:64]):
        check(
            "the answer to transaction %x" % c.tid,
            (tid, flags, answer[28:64]),
            (c.tid, 5, request[28:64]),
        )
    return status


def parts(data):
    return [Fcopy.data(at, data[at : at + CHUNK]) for at in range(0, len(data), CHUNK)]


def copy(c, name, data, folder=TARGET + "/", **wishes):
    """The first status that is no success, or success."""
    for body in [Fcopy.start(name, folder, len(data), **wishes), *parts(data), COMPLETE]:
        status = ask(c, body)
        if status != OK:
            return status
    return OK


def read(name):
    return open("%s/%s" % (TARGET, name), "rb").read()


def files():
    return sorted(
        os.path.relpath(os.path.join(d, f), TARGET)
        for d, _, names in os.walk(TARGET)
        for f in names
    )


def serve():
    """The daemon, ready: it found the channel by itself."""
    daemon = Daemon("fcopy")
    daemon.await_logged("Channel open")
    if UTILS:
        until("it is registered", lambda: daemon.logged("Connected"))
    return daemon


def open_there(daemon):
    """What it has open in the folder that files go to."""
    links = []
    for f in os.listdir("/proc/%d/fd" % daemon.process.pid):
        try:
            links.append(os.readlink("/proc/%d/fd/%s" % (daemon.process.pid, f)))
        except OSError:
            pass
    return [l for l in links if l.startswith(TARGET)]


def clear():
    for f in files():
        os.remove("%s/%s" % (TARGET, f))


os.makedirs(TARGET)
note("kernel %s" % os.uname().release)
status, bound, _ = vmic("bind", "--if-unbound", "fcopy")
check("vmic bind", status, 0)
check("the driver", driver("fcopy"), "hv_utils" if UTILS else "uio_hv_generic")
check("the char device", os.path.exists(CHARDEV), UTILS)
daemon = serve()
c = connect()

note("whole files")
for size in (0, 1, CHUNK, CHUNK + 1, 1 << 20):
    data = content(size, size)
    check("%d bytes" % size, copy(c, "file", data, overwrite=True), OK)
    check("arrived as they were sent", read("file") == data, True)
check(
    "mode and owner",
    (stat.S_IMODE(os.stat(TARGET + "/file").st_mode), os.stat(TARGET + "/file").st_uid),
    (0o644, 0),
)
for n, name in enumerate(NAMES):
    check(name, copy(c, name, content(100, n)), OK)
check("all of them are there", files(), sorted(["file"] + NAMES))
check(
    "with what was sent",
    [read(name) == content(100, n) for n, name in enumerate(NAMES)],
    [True] * len(NAMES),
)

note("what exists, and what does not")
os.chmod(TARGET + "/file", 0o600)
check("a file that exists", (copy(c, "file", b"new"), read("file")[:3] == b"new"), (EXISTS, False))
check("overwritten", (copy(c, "file", b"new", overwrite=True), read("file")), (OK, b"new"))
check("it kept its mode", stat.S_IMODE(os.stat(TARGET + "/file").st_mode), 0o600)
check("a folder that is not there", copy(c, "f", b"x", TARGET + "/a/b/"), FAIL)
check(
    "made, as asked for",
    (copy(c, "f", b"x", TARGET + "/a/b/", mkdir=True), read("a/b/f")),
    (OK, b"x"),
)
check(
    "its mode", [stat.S_IMODE(os.stat(TARGET + d).st_mode) for d in ("/a", "/a/b")], [0o755, 0o755]
)
check(
    "a path of Windows",
    (copy(c, "g", b"y", (TARGET + "/a/").replace("/", "\\")), read("a/g")),
    (OK, b"y"),
)
for name, folder in (
    ("..", TARGET + "/"),
    ("../escaped", TARGET + "/a/"),
    ("f", TARGET + "/a/../"),
    ("", TARGET + "/"),
):
    check("%r in %s" % (name, folder), copy(c, name, b"x", folder), INVALID)
os.symlink("/etc/hostname", TARGET + "/link")
check("a link is not followed", copy(c, "link", b"x", overwrite=True), FAIL)
os.remove(TARGET + "/link")
clear()

note("a host that does it wrong")
data = content(3 * CHUNK)
check("data before a start", ask(c, parts(data)[0]), FAIL)
check("complete before a start", ask(c, COMPLETE), FAIL)
check("an operation nobody knows", ask(c, Fcopy.header(9)), UNSUPPORTED)
start = Fcopy.start("f", TARGET + "/", len(data))
check("out of order", [ask(c, b) for b in (start, parts(data)[1])], [OK, INVALID])
check("complete before all is there", [ask(c, b) for b in (parts(data)[0], COMPLETE)], [OK, FAIL])
check(
    "longer than it can be",
    [
        ask(c, start),
        ask(c, parts(data)[0][:48] + struct.pack("<I", CHUNK + 1) + parts(data)[0][52:]),
    ],
    [OK, INVALID],
)
check("cancelled", [ask(c, b) for b in (*parts(data)[:2], CANCEL)], [OK] * 3)
check("nothing is left of all that", (files(), open_there(daemon)), ([], []))
check("begun again and again", [ask(c, start) for _ in range(10)], [OK] * 10)
check(
    "one of them is under way",
    [os.path.dirname(l) for l in open_there(daemon) if l != TARGET],
    [TARGET],
)
check("a whole one", (copy(c, "f", data), read("f") == data, open_there(daemon)), (OK, True, []))
clear()

note("killed in the middle")
check("begun", [ask(c, b) for b in (start, *parts(data)[:2])], [OK] * 3)
daemon.stop(signal.SIGKILL)
check("nothing is left", files(), [])
if not UTILS:
    c.close()
daemon = serve()
if not UTILS:
    c = connect()
check("the next daemon knows nothing of it", ask(c, parts(data)[2]), FAIL)
check("and serves", (copy(c, "f", data), read("f") == data), (OK, True))
clear()

note("the service is switched off on the host in the middle of a file, and on again")
check("begun", [ask(c, b) for b in (start, parts(data)[0])], [OK] * 2)
c.close()
put("/dev/vmbus-host/ctl", "rescind fcopy")
until("the channel is gone", lambda: device("fcopy") is None)
daemon.await_logged("The device went away")
until("nothing is left", lambda: (files(), open_there(daemon)) == ([], []))
offer("fcopy")
until("the channel is back", lambda: device("fcopy") is not None)
check("vmic bind", vmic("bind", "--if-unbound", "fcopy")[0], 0)
until("it is open again", lambda: daemon.count("Channel open") == 2)
if UTILS:
    until("it is registered again", lambda: daemon.count("Connected") == 2)
c = connect()
check("it serves again", (copy(c, "f", data), read("f") == data), (OK, True))

note("what it says of itself")


def told():
    status, told, _ = vmic("fcopy", "status")
    return (
        status == 0
        and told.get("last")
        and (told["last"][0]["target"], told["last"][0]["result"]) == (TARGET + "/f", "copied")
    )


until("vmic fcopy status tells of the last copy", told)  # at most once a second
check("SIGTERM ends it cleanly", daemon.stop(), 0)
c.close()
verdict()
