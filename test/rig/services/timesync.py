#!/usr/bin/python3
"""The time synchronization channel: the clock of this guest is set and disciplined over UIO, with
chronyd too, and by hv_utils again. Exit status 0: all as it should be."""

import ctypes

from common import *

RAW, REAL = time.CLOCK_MONOTONIC_RAW, time.CLOCK_REALTIME
STATUS = "/run/vmic/status/timesync.json"
SYNC, SAMPLE = 1, 2
REFERENCE = 10**15  # the counter has been running for longer than the guest


def raw():
    return time.clock_gettime_ns(RAW)


def lead():
    """How far the clock is ahead of the raw one, ns: changes only when somebody sets or slews the
    clock."""
    return min(readings())[1]


def readings():
    """Of many readings of both clocks the one that was interrupted least is the best: (how long it
    took, lead)."""
    for _ in range(50):
        a = raw()
        real = time.clock_gettime_ns(REAL)
        b = raw()
        yield b - a, real - (a + b) // 2


class Timex(ctypes.Structure):
    """The beginning of struct timex (adjtimex(2)); offset in us, freq in ppm / 65536."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("rest", ctypes.c_byte * 256),
    ]


ADJ_OFFSET_SS_READ = 0xA001


def timex(modes=0):
    now = Timex(modes=modes)
    ctypes.CDLL(None).adjtimex(ctypes.byref(now))
    return now


def kernel_ppm():
    """The frequency correction that the kernel applies."""
    return timex().freq / 65536


def slew_is_over():
    return timex(ADJ_OFFSET_SS_READ).offset == 0


class TimeHost:
    """A host whose time runs `ppm` faster than this guest's raw clock, which drives the reference
    counter it tells."""

    def __init__(self, ppm=0, versions=None):
        self.base, self.raw0, self.ppm = time.clock_gettime_ns(REAL), raw(), ppm
        self.channel = Channel("timesync", 30)
        check("negotiated", self.channel.negotiate(None, versions), True)
        until("the daemon says so", lambda: status().get("version") == "%d.%d" % self.channel.mv)

    def now(self, at=None):
        elapsed = (at or raw()) - self.raw0
        return self.base + elapsed + elapsed * self.ppm // 1000000

    def error(self):
        """The guest's clock minus the host's, ns."""
        a = raw()
        real = time.clock_gettime_ns(REAL)
        b = raw()
        return real - self.now((a + b) // 2)

    def tell(self, flags, host=None, reference=None):
        """One message; when the guest has acted on it, its status."""
        before = status()["counters"]["messages"]
        at = raw()
        body = Timesync.body(
            self.channel.mv,
            (self.now(at) if host is None else host) // 100 + EPOCH,
            flags,
            (REFERENCE + at if reference is None else reference) // 100,
        )
        answer, _, echo = self.channel.ic(TIMESYNC, body)
        check("answered with the message itself", (answer, echo[: len(body)]), (0, body))
        until("the daemon has acted", lambda: status()["counters"]["messages"] > before)
        return status()

    def close(self):
        self.channel.close()


def status():
    with open(STATUS) as f:
        return json.load(f)["details"]


def close_to(what, got, want, tolerance):
    return check(
        "%s: %d is within %d of %d" % (what, got, tolerance, want),
        abs(got - want) <= tolerance,
        True,
    )


def start(*settings, wrap=()):
    d = Daemon.__new__(Daemon)
    d.service, d.path = "timesync", "/run/timesync-%d.log" % time.monotonic_ns()
    d.log = open(d.path, "w")
    args = [a for s in settings for a in ("--set", "timesync." + s)]
    d.process = subprocess.Popen(
        [*wrap, BIN + "vmic-timesync", *args], stdin=subprocess.DEVNULL, stdout=d.log, stderr=d.log
    )
    d.await_logged("Channel open")
    return d


S, MS = 10**9, 10**6
# An emulated machine may take this long between reading a clock and using what was read
SLACK = 300 * MS

note("kernel %s" % os.uname().release)
subprocess.call(["modprobe", "msr"])
check("vmic bind", vmic("bind", "timesync")[0], 0)
check("driver", driver("timesync"), "uio_hv_generic")
note("the daemon has the one power to change the clock")
POWERS = ("setpriv", "--bounding-set=-all,+sys_time", "--no-new-privs")
daemon = start(wrap=POWERS)
host = TimeHost()
check(
    "status",
    (status()["mode"], status()["version"], status()["clock"]),
    ("discipline", "4.0", "system"),
)

note("sync: the clock is set, forwards and backwards")
for by in (1000 * S, -5000 * S, 90 * MS):
    before = lead()
    host.base += by
    said = host.tell(SYNC)
    close_to("the clock moved by what the host's did", lead() - before, by, SLACK)
    close_to("and shows the host's time", host.error(), 0, SLACK)
    check("said", said["lastStep"]["because"], "sync")

note("sample: the clock is slewed, not set")
host.tell(SAMPLE)
time.sleep(1)
before, t0 = lead(), raw()
host.base += 60 * MS
said = host.tell(SAMPLE)
steps = said["counters"]["steps"]
check("the offset is seen", int(said["last"]["offsetNs"]) > 30 * MS, True)
most = 0
last, at = before, t0
while raw() - t0 < 6 * S:
    time.sleep(0.1)
    now, t = lead(), raw()
    # At most 500 us a second, told from readings that are a little apart, and applied by the kernel
    # once a second
    most = max(most, (now - last) - (t - at) * 500 // 10**6)
    last, at = now, t
check("it moved forwards", 1 * MS < last - before < 6 * MS, True)
check("never faster than by 0.5 ms a second (%d ns more)" % most, most < MS, True)
check("no step", status()["counters"]["steps"], steps)

note("drift: 100 ppm are learnt from samples, and corrected without them")
host.close()
host = TimeHost(100)
host.tell(SYNC)
for _ in range(26):
    time.sleep(1)
    said = host.tell(SAMPLE)
close_to(
    "frequency learnt, in 1/1000 ppm",
    round(said["last"].get("frequencyPpm", 0) * 1000),
    100000,
    2000,
)
close_to("frequency in the kernel, in 1/1000 ppm", round(kernel_ppm() * 1000), 100000, 2000)
print("  error of the clock: %d us" % (host.error() // 1000), flush=True)
until("the last slew is over", slew_is_over, 90)  # 30 ms at 0.5 ms a second at most
time.sleep(2)  # the kernel applies it once a second
before, t0 = lead(), raw()
time.sleep(10)
close_to(
    "the clock runs 100 ppm faster than the raw one by itself, in ppm",
    round((lead() - before) * 10**6 / (raw() - t0)),
    100,
    5,
)
print("  error of the clock: %d us" % (host.error() // 1000), flush=True)

note("a suspension the host does not speak of")
before = lead()
host.base += 60 * S
said = host.tell(SAMPLE)
close_to("the clock moved", lead() - before, 60 * S, SLACK)
check("said", said["lastStep"]["because"], "resume")

note("what is refused")
before = lead()
for what, kwargs, counter in (
    ("1601", dict(host=-EPOCH * 100), "absurd"),
    ("1970", dict(host=0), "absurd"),
    ("the year 2500", dict(host=530 * 365 * 86400 * S), "absurd"),
    ("older than 600 s", dict(reference=REFERENCE + raw() - 700 * S), "stale"),
    ("from before the last one", dict(host=host.now() - 3600 * S), "backwards"),
):
    count = status()["counters"][counter]
    check("%s: %s" % (what, counter), host.tell(SAMPLE, **kwargs)["counters"][counter], count + 1)
close_to("the clock did not move", lead() - before, 0, 50 * MS)
host.base -= 3600 * S
host.tell(SAMPLE)
host.tell(SAMPLE)
close_to("nor back with the host's", lead() - before, 0, 50 * MS)
host.tell(SYNC)
close_to("but by order", lead() - before, -3600 * S, SLACK)
host.close()

note("older hosts")
for version in ((3, 0), (1, 0)):
    host = TimeHost(0, [version])
    before = lead()
    host.base += 30 * S
    check("version", host.tell(SYNC)["version"], "%d.%d" % version)
    close_to("the clock moved", lead() - before, 30 * S, SLACK)
    host.close()

note("vmic timesync status")
code, said, _ = vmic("timesync", "status")
check(
    "status",
    (code, said["running"], said["mode"], said["counters"]["steps"] > 5, said.get("problem")),
    (0, True, "discipline", True, None),
)
print(
    subprocess.run([BIN + "vmic", "timesync", "status"], stdout=subprocess.PIPE, text=True).stdout,
    flush=True,
)

note("the service is switched off on the host, and on again")
put("/dev/vmbus-host/ctl", "rescind timesync")
until("the channel is gone", lambda: device("timesync") is None)
daemon.await_logged("The device went away")
offer("timesync")
until("the channel is back, with hv_utils", lambda: driver("timesync") == "hv_utils")
check("vmic bind", vmic("bind", "timesync")[0], 0)
until("the daemon has it again", lambda: daemon.count("Channel open") == 2)
host = TimeHost()
before = lead()
host.base += 45 * S
host.tell(SYNC)
close_to("the clock moved", lead() - before, 45 * S, SLACK)
host.close()

note("with chronyd")
check("SIGTERM ends the daemon cleanly", daemon.stop(), 0)
check("and its status", os.path.exists(STATUS), False)
put(
    "/run/chrony.conf",
    "refclock SOCK /run/chrony.vmic.sock refid HYPV poll 2 stratum 2\ncmdport 0\n"
    "bindcmdaddress /run/chrony/chronyd.sock\npidfile /run/chrony/chronyd.pid\nmakestep 1 3\n",
)
os.makedirs("/run/chrony", exist_ok=True)
subprocess.call(["chown", "_chrony:_chrony", "/run/chrony"])
os.chmod("/run/chrony", 0o750)
chronyd = subprocess.Popen(
    ["chronyd", "-d", "-f", "/run/chrony.conf"],
    stdout=subprocess.DEVNULL,
    stderr=open("/run/chronyd.log", "w"),
)
until("chronyd listens", lambda: os.path.exists("/run/chrony.vmic.sock"))
daemon = start(wrap=POWERS)
check("mode", (status()["mode"], status()["configured"]), ("chrony", False))
host = TimeHost()
host.base += 2 * MS
for _ in range(12):
    said = host.tell(SAMPLE)
    time.sleep(0.7)
check("chronyd was given all samples", said["counters"]["fed"], 12)
check("and nothing else was done", (said["counters"]["steps"], said["counters"]["slews"]), (0, 0))
sources = subprocess.run(["chronyc", "-c", "sources"], stdout=subprocess.PIPE, text=True).stdout
print("  chronyc sources: " + sources.strip(), flush=True)
reach = [line.split(",")[5] for line in sources.splitlines() if ",HYPV," in line]
check("chronyd reached its source HYPV", bool(reach) and int(reach[0], 8) > 0, True)
before = lead()
host.base += 500 * S
host.tell(SYNC)
close_to("an order is obeyed all the same", lead() - before, 500 * S, SLACK)
host.close()
chronyd.terminate()
chronyd.wait()

note("the daemon is killed; what its unit does then gives the channel back")
daemon.stop(signal.SIGKILL)
code, said, _ = vmic("timesync", "status")
check("status: not running", (code, said["running"]), (1, False))
check("vmic release", vmic("release", "timesync")[0], 0)
check("driver", (driver("timesync"), override("timesync")), ("hv_utils", "(null)"))
c = Channel("timesync", 30)
check("negotiated with hv_utils", (c.negotiate(), c.mv), (True, (4, 0)))
before = lead()
wanted = time.clock_gettime_ns(REAL) + 200 * S
check(
    "hv_utils answers",
    c.ic(TIMESYNC, Timesync.body(c.mv, wanted // 100 + EPOCH, SYNC, Timesync.reference()))[0],
    0,
)
until("and sets the clock", lambda: lead() - before > 190 * S)
c.close()
verdict()
