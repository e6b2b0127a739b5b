"""What the tests of all services but KVP inside the guest share: checks (of the KVP tests),
channels, and our programs."""

import errno
import glob
import json
import os
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, "/opt/kvp")
from guest import BUS, check, note, offer, put, until, verdict
from hostctl import *

BIN = "/opt/vmic/bin/"
CLASSES = {
    "heartbeat": "57164f39-9115-4e78-ab55-382f3bd5422d",
    "shutdown": "0e0b6031-5213-4934-818b-38d90ced39db",
    "timesync": "9527e630-d0ae-497b-adce-e80ab0175caf",
    "vss": "35fa2e29-ea23-4236-96ae-3a6ebacba440",
    "fcopy": "34d14be3-dee4-41c8-9ae7-6b174977c192",
}
STATES = ["unknown", "healthy", "critical", "stopped"]


def device(service):
    """The channel's folder in sysfs; None while there is none."""
    for folder in glob.glob(BUS + "/devices/*"):
        try:
            if open(folder + "/class_id").read().strip() == "{%s}" % CLASSES[service]:
                return folder
        except OSError:
            pass  # rescinded while we looked
    return None


def driver(service):
    try:
        return os.path.basename(os.readlink(device(service) + "/driver"))
    except (OSError, TypeError):
        return None


def override(service):
    return open(device(service) + "/driver_override").read().strip()


def vmic(*args):
    """(exit status, output as JSON or None, errors)"""
    done = subprocess.run(
        [BIN + "vmic", *args, "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    print(
        "  $ vmic %s -> %d %s%s"
        % (" ".join(args), done.returncode, done.stdout.strip()[:300], done.stderr.strip()),
        flush=True,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


class Daemon:
    """One of our daemons over UIO; what it logs is printed when it ends."""

    def __init__(self, service, *settings):
        self.service, self.path = service, "/run/%s-%d.log" % (service, time.monotonic_ns())
        self.log = open(self.path, "w")
        args = [a for s in settings for a in ("--set", "%s.%s" % (service, s))]
        self.process = subprocess.Popen(
            [BIN + "vmic-" + service, *args],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )

    def logged(self, text):
        return text in open(self.path).read()

    def await_logged(self, text, seconds=60):
        return until("the daemon says: " + text, lambda: self.logged(text), seconds)

    def count(self, text):
        return open(self.path).read().count(text)

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        code = self.process.wait(30)
        for line in open(self.path):
            print("  daemon| " + line.rstrip(), flush=True)
        return code


def beat(sequence=1, timeout=30):
    """(status, sequence, state) of one beat on a channel negotiated anew."""
    c = Channel("heartbeat", 30, None, timeout)
    try:
        check("negotiated", (c.negotiate(), c.mv), (True, (3, 0)))
        return beat_on(c, sequence)
    finally:
        c.close()


def beat_on(c, sequence=1):
    status, _, body = c.ic(HB, Heartbeat.body(sequence))
    n, state = struct.unpack_from("<QI", body)
    return status, n, STATES[state] if state < len(STATES) else state


def ask_shutdown(flags, reason=0x80000000, timeout=60, message="made-up message"):
    """The status of one shutdown request on a channel negotiated anew."""
    c = Channel("shutdown", 30, None, 60)
    try:
        check("negotiated", (c.negotiate(), c.mv), (True, (3, 2)))
        return c.ic(SHUTDOWN, Shutdown.body(flags, reason, timeout, message))[0]
    finally:
        c.close()
