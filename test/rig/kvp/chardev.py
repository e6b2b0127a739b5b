#!/usr/bin/python3
"""KVP through the real hv_utils, over /dev/vmbus/hv_kvp. Runs inside the rig's guest; exit status
0: all as it should be."""

from guest import *

AUTO = [
    "FullyQualifiedDomainName",
    "IntegrationServicesVersion",
    "NetworkAddressIPv4",
    "NetworkAddressIPv6",
    "OSBuildNumber",
    "OSName",
    "OSMajorVersion",
    "OSMinorVersion",
    "OSVersion",
    "ProcessorArchitecture",
]


def os_release(name):
    for line in open("/etc/os-release"):
        if line.startswith(name + "="):
            return line.split("=", 1)[1].strip().strip('"')
    return ""


def auto_pool(h):
    note("auto pool")
    got, end = h.all(2)
    check("ten keys, in Windows' order", [k for k, _ in got[:10]], AUTO)
    check("end of the auto pool", end, NO_MORE)
    values, release = dict(got), os.uname().release
    for key, want in (
        ("FullyQualifiedDomainName", "rig.example"),
        ("IntegrationServicesVersion", "3.1"),
        ("NetworkAddressIPv4", "192.0.2.10"),
        ("OSBuildNumber", release),
        ("OSName", os_release("NAME")),
        ("OSMajorVersion", os_release("VERSION_ID")),
        ("OSVersion", release.split("-")[0]),
        ("ProcessorArchitecture", os.uname().machine),
    ):
        check(key, values.get(key), want)
    # The link-local address of the made-up interface comes last
    check(
        "NetworkAddressIPv6 begins",
        values.get("NetworkAddressIPv6", "").split(";")[0],
        "2001:db8::10",
    )


def pools(h):
    for pool in (0, 1, 3, 4):
        note("pool %d" % pool)
        before = len(records(pool)[0])
        check(
            "set",
            [
                h.set(pool, "first", "1"),
                h.set(pool, "Kéy ✓", "välue € 😀"),
                h.set(pool, "empty", ""),
                h.set(pool, "first", "a longer value"),
            ],
            [OK] * 4,
        )
        check("set again, shorter", h.set(pool, "first", "uno"), OK)
        want = [("first", "uno"), ("Kéy ✓", "välue € 😀"), ("empty", "")]
        check("enumerate gives them in order", h.all(pool), (want, NO_MORE))
        check(
            "the file holds just that, zero-filled",
            records(pool),
            ([record(*r) for r in want], True),
        )
        check("get", [h.get(pool, k) for k, _ in want], [(OK, REG_SZ, v) for _, v in want])
        check("get of a missing key", h.get(pool, "missing")[0], NO_MORE)
        check("delete", h.delete(pool, "first"), OK)
        check("delete again", h.delete(pool, "first"), NO_MORE)
        check("enumerate gives the rest", h.all(pool), (want[1:], NO_MORE))
        check("delete the rest", [h.delete(pool, "Kéy ✓"), h.delete(pool, "empty")], [OK, OK])
        check("the pool is as empty as before", len(records(pool)[0]), before)


def sizes(h):
    note("the longest keys and values hv_utils passes")
    for key, value in (("k" * 254, "v" * 1022), ("a", "é" * 1022), ("é" * 254, "x")):
        check("set, %d and %d units" % (len(key), len(value)), h.set(0, key, value), OK)
        check("comes back by enumerate", h.enumerate(0, 0), (OK, key, REG_SZ, value))
        check("comes back by get", h.get(0, key), (OK, REG_SZ, value))
        check("delete", h.delete(0, key), OK)


def types(h):
    note("types: hv_utils turns u32 into text and passes no other")
    check("set a u32", h.set(0, "u32", 0xFEDCBA98, REG_U32), OK)
    check("get it", h.get(0, "u32"), (OK, REG_SZ, str(0xFEDCBA98)))
    check("delete it", h.delete(0, "u32"), OK)
    for name, value, type in (("u64", 1 << 40, REG_U64), ("expandable", "%x%", REG_EXPAND_SZ)):
        status = h.set(0, name, value, type)
        check(
            "set of type %s is refused, since its value did not arrive" % name, status != OK, True
        )
    check("nothing was stored", h.all(0), ([], NO_MORE))


def wrong(h):
    note("what a correct host never sends")
    check("unknown operation", h.ask(99, 0)[0] != OK, True)
    for pool in (5, 255):
        check("enumerate pool %d" % pool, h.enumerate(pool, 0)[0] != OK, True)
        check("set in pool %d" % pool, h.set(pool, "k", "v") != OK, True)
    check("enumerate index 0xffffffff", h.enumerate(0, 0xFFFFFFFF)[0] != OK, True)
    check("and after that all is well", h.set(0, "k", "v"), OK)
    check("delete", h.delete(0, "k"), OK)


def second_open():
    note("a second program")
    try:
        os.close(os.open(CHARDEV, os.O_RDWR))
        error = "opened"
    except OSError as e:
        error = errno.errorcode[e.errno]
    check("open of a device in use", error, "EBUSY")


def take_over(first):
    """A second daemon waits for the first one's device."""
    second = Daemon()
    until(
        "the second daemon says that the device is in use",
        lambda: second.logged("in use by another process"),
    )
    check("the first one still serves", first.process.poll(), None)
    check("the first ends on SIGTERM", first.stop(), 0)
    second.await_serving()
    h = Host()
    check("the second answers", h.set(0, "taken", "over"), OK)
    check("delete", h.delete(0, "taken"), OK)
    h.close()
    return second


def device_gone(d):
    note("the service is switched off on the host, and on again")
    host = Host()
    host.close()
    put("/dev/vmbus-host/ctl", "rescind kvp")
    until("the char device is gone", lambda: not os.path.exists(CHARDEV))
    until("the daemon let go of it", lambda: not d.has_open(CHARDEV))
    check("the daemon is still there", d.process.poll(), None)
    time.sleep(3)
    offer("kvp")
    until("the char device is back", lambda: os.path.exists(CHARDEV))
    d.await_serving()
    h = Host()
    check(
        "it answers again",
        [h.set(0, "after", "rescind"), h.get(0, "after"), h.delete(0, "after")],
        [OK, (OK, REG_SZ, "rescind"), OK],
    )
    h.close()


def refused_reply(d):
    """hv_utils gave up on the daemon: it refuses the reply, or forgot the registration."""
    note("the daemon is stopped for longer than hv_utils waits (30 s)")
    h = Host()
    os.kill(d.pid, signal.SIGSTOP)
    began = time.monotonic()
    check("the kernel answers in its place", h.set(0, "stopped", "x"), FAIL)
    note("after %.0f s" % (time.monotonic() - began))
    os.kill(d.pid, signal.SIGCONT)
    time.sleep(4)
    check("the daemon is still there", d.process.poll(), None)
    check(
        "it answers again",
        [h.set(0, "woken", "up"), h.get(0, "woken"), h.delete(0, "woken")],
        [OK, (OK, REG_SZ, "up"), OK],
    )
    h.delete(0, "stopped")  # the reply came too late, but the change may have been made
    h.close()


def restart_while_asked(d):
    note("killed and started again while the host asks without pause")
    h = Host()
    answers, stop = [], threading.Event()

    def ask():
        n = 0
        while not stop.is_set():
            try:
                answers.append((n, h.set(1, "n%04d" % (n % 50), "value %d" % n)))
                n += 1
            except NoAnswer as e:
                answers.append((n, str(e)))
                return

    t = threading.Thread(target=ask)
    t.start()
    for _ in range(3):
        until("answers come", lambda seen=len(answers): len(answers) > seen + 20)
        d.process.kill()
        d.process.wait()
        d.print_log()
        d = Daemon()
        d.await_serving()
    until("answers come", lambda seen=len(answers): len(answers) > seen + 20)
    stop.set()
    t.join()
    bad = [a for a in answers if a[1] not in (OK, FAIL)]
    note(
        "%d requests, %d of them failed while no daemon was there"
        % (len(answers), sum(a[1] == FAIL for a in answers))
    )
    check("each request was answered, with success or E_FAIL", bad, [])
    got, whole = records(1)
    check("the pool file is whole", whole, True)
    last = {"n%04d" % (n % 50): "value %d" % n for n, status in answers if status == OK}
    # A set that failed for the host may have been made all the same
    maybe = {("n%04d" % (n % 50), "value %d" % n) for n, status in answers if status == FAIL}
    now = {}
    for r in got:
        now[r[:512].split(b"\0")[0].decode()] = r[512:].split(b"\0")[0].decode()
    lost = [
        (k, v, now.get(k))
        for k, v in last.items()
        if now.get(k) != v and (k, now.get(k)) not in maybe
    ]
    check("no set the host was told of is lost", lost, [])
    for k in sorted(now):
        h.delete(1, k)
    check("all deleted", h.all(1), ([], NO_MORE))
    h.close()
    return d


prepare()
note("kernel %s, daemon %s" % (os.uname().release, " ".join(COMMAND)))
daemon = Daemon()
daemon.await_serving()
check("the device is open", daemon.has_open(CHARDEV), True)
check(
    "five pool files, mode 0644",
    ["%o" % (os.stat("%s/.kvp_pool_%d" % (POOLS, i)).st_mode & 0o7777) for i in range(5)],
    ["644"] * 5,
)
host = Host()
check("negotiated", (host.negotiated, host.channel.mv), (True, (4, 0)))
auto_pool(host)
pools(host)
sizes(host)
types(host)
if not REFERENCE:  # the C daemon crashes here
    wrong(host)
host.close()
for versions in ([(3, 0)], [(3, 0), (4, 0)]):
    h = Host(versions)
    check(
        "a host that offers %s is answered" % versions,
        (h.negotiated, h.enumerate(2, 5)[0]),
        (True, OK),
    )
    h.close()
second_open()
if not REFERENCE:
    daemon = take_over(daemon)
    device_gone(daemon)
refused_reply(daemon)
daemon = restart_while_asked(daemon)
if not REFERENCE:
    check("SIGTERM ends it cleanly", daemon.stop(), 0)
    check("the device is free", os.close(os.open(CHARDEV, os.O_RDWR)), None)
verdict()
