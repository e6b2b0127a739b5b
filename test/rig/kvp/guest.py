"""What the KVP tests in the guest share: checks, the daemon's process, and the host's requests."""

import atexit
import errno
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from hostctl import *

DEVICE = "242ff919-07db-4180-9c2e-b86cb68c8c55"
BUS = "/sys/bus/vmbus"
CHARDEV = "/dev/vmbus/hv_kvp"
POOLS = "/var/lib/hyperv"
RECORD = 2560
# The daemon under test; --reference runs the C daemon instead, to tell a defect of ours from one of
# the rig
REFERENCE = "--reference" in sys.argv
COMMAND = ["/rig/bin/hv_kvp_daemon", "-n"] if REFERENCE else ["/opt/vmic/bin/vmic-kvp", "-n"]

failures = []


def note(text):
    print("# " + text, flush=True)


def brief(value):
    """A value for people: runs of one character are cut short."""
    text = re.sub(r"(\\x00)+", lambda m: "\\0*%d" % (len(m[0]) // 4), repr(value))
    text = re.sub(r"(.)\1{19,}", lambda m: "%s*%d" % (m[1], len(m[0])), text)
    return text if len(text) < 600 else text[:600] + "..."


def check(what, got, want):
    if got == want:
        print("ok      %s" % what, flush=True)
    else:
        failures.append(what)
        print(
            "FAILED  %s\n          got  %s\n          want %s" % (what, brief(got), brief(want)),
            flush=True,
        )
    return got == want


def verdict():
    print(
        "# %s" % ("%d checks failed" % len(failures) if failures else "all checks passed"),
        flush=True,
    )
    sys.exit(1 if failures else 0)


def until(what, condition, seconds=60):
    """The condition's first true value; a failed check when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            check(what, "nothing after %d s" % seconds, "happens")
            return None
        time.sleep(0.05)


def prepare():
    """A guest with made-up addresses and a name of its own."""
    subprocess.run(
        """hostname rig; modprobe dummy numdummies=0
    ip link show rig0 2>/dev/null || ip link add rig0 type dummy
    ip link set rig0 address 00:00:5e:00:53:01; ip link set rig0 up
    ip addr replace 192.0.2.10/24 dev rig0; ip -6 addr replace 2001:db8::10/64 dev rig0 nodad""",
        shell=True,
        check=True,
    )


class Daemon:
    """The daemon under test. Everything it logs is printed when it ends."""

    all = []

    def __init__(self, *args):
        self.path = "/run/notify-%d-%d" % (os.getpid(), len(Daemon.all))
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(self.path)
        self.states, self.seen = [], 0
        self.log = open("/run/daemon-%d-%d.log" % (os.getpid(), len(Daemon.all)), "w+")
        environment = dict(os.environ, NOTIFY_SOCKET=self.path, NODE_ENV="production")
        self.process = subprocess.Popen(
            COMMAND + list(args),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=environment,
        )
        Daemon.all.append(self)

    @property
    def pid(self):
        return self.process.pid

    def has_open(self, prefix):
        try:
            return any(
                os.readlink("/proc/%d/fd/%s" % (self.pid, f)).startswith(prefix)
                for f in os.listdir("/proc/%d/fd" % self.pid)
            )
        except OSError:
            return False

    def states_so_far(self):
        try:
            while True:
                self.states.append(self.notify.recv(4096, socket.MSG_DONTWAIT).decode())
        except BlockingIOError:
            return self.states

    def await_serving(self, device=CHARDEV):
        """Waits until the daemon says that it serves this device (since the last time this was
        asked)."""
        if REFERENCE:
            until("the daemon has the device open", lambda: self.has_open(device))
            time.sleep(0.5)
            return

        def serving():
            states = self.states_so_far()
            for i in range(self.seen, len(states)):
                if "STATUS=serving " in states[i]:
                    self.seen = i + 1
                    return True
            return False

        until("the daemon says that it serves", serving)

    def logged(self, text):
        return text in open(self.log.name).read()

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "still there 20 s after signal %d" % sig
        self.print_log()
        return code

    def print_log(self):
        if self.log.closed:
            return
        self.log.close()
        for line in open(self.log.name):
            print("  daemon| " + line.rstrip(), flush=True)


@atexit.register
def end_daemons():
    for d in Daemon.all:
        if d.process.poll() is None:
            d.process.kill()
            d.process.wait()
        d.print_log()


class Host:
    """The host's end of the KVP channel. Every method gives a status; enumerations and gets also
    what was answered."""

    def __init__(self, versions=None, frameworks=None, timeout=90):
        self.channel = Channel("kvp", 30, None, timeout)
        self.negotiated = self.channel.negotiate(frameworks, versions)

    def close(self):
        self.channel.close()

    def ask(self, op, pool, body=b""):
        return self.channel.ic(KVP, Kvp.msg(op, pool, body))

    def set(self, pool, key, value, type=REG_SZ):
        return self.ask(Kvp.SET, pool, Kvp.record(key, value, type))[0]

    def get(self, pool, key):
        """(status, type, value)"""
        status, _, body = self.ask(Kvp.GET, pool, Kvp.record(key))
        return (
            (status, None, None)
            if status
            else (0, struct.unpack_from("<I", body, 4)[0], Kvp.parse(body[4:])[1])
        )

    def delete(self, pool, key):
        size, padded = Kvp.key(key)
        return self.ask(Kvp.DELETE, pool, struct.pack("<I", size) + padded)[0]

    def enumerate(self, pool, index):
        """(status, key, type, value)"""
        status, _, body = self.ask(Kvp.ENUM, pool, struct.pack("<I", index))
        return (
            (status, None, None, None)
            if status
            else (
                0,
                Kvp.parse(body[8:])[0],
                struct.unpack_from("<I", body, 8)[0],
                Kvp.parse(body[8:])[1],
            )
        )

    def all(self, pool):
        """(key, value) of every record; ends with the status that ended it."""
        records = []
        while True:
            status, key, _, value = self.enumerate(pool, len(records))
            if status:
                return records, status
            records.append((key, value))


def records(pool):
    """The pool file's records as bytes, and whether the file is whole."""
    data = open("%s/.kvp_pool_%d" % (POOLS, pool), "rb").read()
    return [data[i : i + RECORD] for i in range(0, len(data), RECORD)], len(data) % RECORD == 0


def record(key, value):
    return key.encode().ljust(512, b"\0") + value.encode().ljust(2048, b"\0")


def put(path, text):
    with open(path, "w") as f:
        f.write(text)


def offer(service):
    """Plugs a channel in; waits while the guest has not let go of one that was just pulled out."""
    subprocess.run(["hostctl.py", "offer", service], check=True)


def bound_driver():
    try:
        return os.path.basename(os.readlink("%s/devices/%s/driver" % (BUS, DEVICE)))
    except OSError:
        return None


def bind_to_uio():
    """Gives the KVP channel to user space; returns the /dev/uioN it became."""
    put("%s/devices/%s/driver_override" % (BUS, DEVICE), "uio_hv_generic")
    if bound_driver():
        put("%s/drivers/hv_utils/unbind" % BUS, DEVICE)
    put("%s/drivers/uio_hv_generic/bind" % BUS, DEVICE)
    folder = "%s/devices/%s/uio" % (BUS, DEVICE)
    names = until(
        "the channel shows as a UIO device", lambda: os.path.isdir(folder) and os.listdir(folder)
    )
    path = "/dev/" + names[0]
    until("%s appears" % path, lambda: os.path.exists(path))
    return path


def release_from_uio():
    """Gives the channel back to hv_utils; an empty line clears the override."""
    put("%s/drivers/uio_hv_generic/unbind" % BUS, DEVICE)
    put("%s/devices/%s/driver_override" % (BUS, DEVICE), "\n")
    put("%s/drivers/hv_utils/bind" % BUS, DEVICE)
    until("%s is back" % CHARDEV, lambda: os.path.exists(CHARDEV))
