#!/usr/bin/python3
"""KVP over UIO: the channel bound to uio_hv_generic, our daemon on its rings, and back to hv_utils.
Exit status 0: all as it should be."""

from guest import *


def everything(h):
    note("all operations, with the types hv_utils loses")
    values = (
        ("plain", "välue € 😀", REG_SZ),
        ("expandable", "%made% up", REG_EXPAND_SZ),
        ("u32", 0xFEDCBA98, REG_U32),
        ("u64", 0xFEDCBA9876543210, REG_U64),
    )
    for pool in (0, 1, 3, 4):
        check(
            "pool %d: set a string, an expandable one, u32, u64" % pool,
            [h.set(pool, k, v, t) for k, v, t in values],
            [OK] * 4,
        )
        want = [(k, str(v)) for k, v, _ in values]
        got, end = h.all(pool)
        check("pool %d: enumerate" % pool, ([(k, str(v)) for k, v in got], end), (want, NO_MORE))
        check(
            "pool %d: get" % pool,
            [(s, str(v)) for s, _, v in (h.get(pool, k) for k, _, _ in values)],
            [(OK, v) for _, v in want],
        )
        check(
            "pool %d: the file holds them as text, zero-filled" % pool,
            records(pool),
            ([record(*r) for r in want], True),
        )
        check("pool %d: delete" % pool, [h.delete(pool, k) for k, _, _ in values], [OK] * 4)
        check(
            "pool %d: delete again, get" % pool,
            [h.delete(pool, "plain"), h.get(pool, "plain")[0]],
            [NO_MORE, NO_MORE],
        )
        check("pool %d: empty" % pool, (h.all(pool), records(pool)), (([], NO_MORE), ([], True)))
    got, end = h.all(2)
    check("auto pool: ten keys at least, then the end", (len(got) >= 10, end), (True, NO_MORE))
    check("auto pool: get", h.get(2, "OSBuildNumber"), (OK, REG_SZ, os.uname().release))


def longest(h):
    note("the longest keys and values of the protocol; what comes back ends at 1,022 units")
    for key, value in (("k" * 254, "v" * 1022), ("é" * 254, "é" * 1022), ("k" * 255, "v" * 1023)):
        check("set, %d and %d units" % (len(key), len(value)), h.set(0, key, value), OK)
        check("get", h.get(0, key), (OK, REG_SZ, value[:1022]))
        check("enumerate", h.enumerate(0, 0), (OK, key[:254], REG_SZ, value[:1022]))
        check("delete", h.delete(0, key), OK)


def wrong(h):
    note("what a correct host never sends")
    check("unknown operation", h.ask(99, 0)[0] != OK, True)
    check("pool 5", (h.enumerate(5, 0)[0] != OK, h.set(5, "k", "v") != OK), (True, True))
    for what, size in (("0", 0), ("3", 3), ("514", 514), ("4 GiB - 1", 0xFFFFFFFF)):
        status = h.ask(
            Kvp.SET,
            0,
            struct.pack("<III", REG_SZ, size, 4)
            + "k\0".encode("utf-16-le").ljust(512, b"\0")
            + "v\0".encode("utf-16-le"),
        )[0]
        check("a set whose key size says %s" % what, status != OK, True)
    check("nothing was stored", h.all(0), ([], NO_MORE))
    for ptype, payload in (
        (6, b""),
        (6, b"\1" * 8),
        (6, h.channel.request(99, bytes(8))[:20]),
        (0xB, b""),
    ):
        h.channel.send(payload, ptype)
    h.channel.send(
        h.channel.request(KVP, b"")
    )  # a good header without a body: this one gets an answer
    check(
        "a request without a body fails",
        struct.unpack_from("<I", h.channel.recv()[3], 20)[0] != OK,
        True,
    )
    check(
        "after packets without a header all is well",
        [h.set(0, "k", "v"), h.delete(0, "k")],
        [OK, OK],
    )


def many(h):
    note("a host that does not wait for answers")
    body = Kvp.msg(Kvp.ENUM, 2, struct.pack("<I", 5))
    sent, first, ids = 0, h.channel.tid + 1, []
    while sent < 600:
        try:
            h.channel.send(h.channel.request(KVP, body))
            sent += 1
        except BlockingIOError:  # the ring is full
            h.channel.tid -= 1
            ids.append(h.channel.recv()[2])
    while len(ids) < sent:
        ids.append(h.channel.recv()[2])
    check(
        "%d requests, each answered once and in order" % sent, ids, list(range(first, first + sent))
    )


def negotiations():
    note("negotiation")
    for versions, want in (
        ([(1, 0)], (1, 0)),
        ([(3, 0)], (3, 0)),
        ([(3, 0), (4, 0)], (4, 0)),
        ([(3, 0), (4, 0), (5, 0)], (4, 0)),
    ):
        h = Host(versions, [(1, 0)] if versions == [(1, 0)] else None)
        check("a host that offers %s" % versions, (h.negotiated, h.channel.mv), (True, want))
        check("OSName", h.enumerate(2, 5)[:2], (OK, "OSName"))
        h.close()
    h = Host([(9, 0)])
    check("a host that offers nothing known is refused", h.negotiated, False)
    check("and may try again", h.channel.negotiate(), True)
    check("OSName", h.enumerate(2, 5)[:2], (OK, "OSName"))
    h.close()


prepare()
note("kernel %s, daemon %s" % (os.uname().release, " ".join(COMMAND)))
first = Daemon()
first.await_serving()
h = Host()
check("through hv_utils: set", h.set(0, "from hv_utils", "kept"), OK)
h.close()
check("the daemon of the char device ends", first.stop(), 0)

note("the channel goes to user space")
device = bind_to_uio()
check("driver", bound_driver(), "uio_hv_generic")
check("hv_utils' char device is gone", os.path.exists(CHARDEV), False)
daemon = Daemon("--transport", "uio:")
daemon.await_serving(device)
check("%s is open" % device, daemon.has_open(device), True)
host = Host()
check("negotiated", (host.negotiated, host.channel.mv), (True, (4, 0)))
check("what was set through hv_utils is there", host.get(0, "from hv_utils")[::2], (OK, "kept"))
check("delete it", host.delete(0, "from hv_utils"), OK)
everything(host)
longest(host)
wrong(host)
many(host)
host.close()
negotiations()

note("the daemon is killed, and started again")
daemon.process.kill()
daemon.process.wait()
daemon.print_log()
daemon = Daemon("--transport", "uio:")
daemon.await_serving(device)
host = Host()
check("answers again", [host.set(0, "again", "x"), host.delete(0, "again")], [OK, OK])
host.close()

note("the service is switched off on the host, and on again")
put("/dev/vmbus-host/ctl", "rescind kvp")
until("the daemon let go of %s" % device, lambda: not daemon.has_open(device))
until("%s is gone" % device, lambda: not os.path.exists(device))
check("the daemon is still there", daemon.process.poll(), None)
offer("kvp")
until("the channel is back, with hv_utils", lambda: bound_driver() == "hv_utils")
until("%s appears" % CHARDEV, lambda: os.path.exists(CHARDEV))
device = bind_to_uio()
daemon.await_serving(device)
host = Host()
check("answers again", [host.set(0, "again", "x"), host.delete(0, "again")], [OK, OK])
host.close()

note("and back to hv_utils")
check("SIGTERM ends the daemon cleanly", daemon.stop(), 0)
release_from_uio()
check("driver", bound_driver(), "hv_utils")
last = Daemon()
last.await_serving()
host = Host()
check(
    "through hv_utils again",
    [host.set(0, "k", "v"), host.get(0, "k"), host.delete(0, "k")],
    [OK, (OK, REG_SZ, "v"), OK],
)
host.close()
check("SIGTERM ends it cleanly", last.stop(), 0)
verdict()
