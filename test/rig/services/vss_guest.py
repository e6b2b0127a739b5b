"""What the VSS tests inside the guest share: file systems, programs that write to them, the host's
end, and the daemon."""

import atexit
import ctypes
import mmap

from common import *
from guest import failures

REFERENCE = "--reference" in sys.argv
CHARDEV = "/dev/vmbus/hv_vss"
LOG = "/var/log/vss.log"
SECTORS_WRITTEN = 6  # Documentation/ABI/stable/sysfs-block, stat


def sh(command):
    subprocess.run(
        command,
        shell=True,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


class Writer:
    """A program that goes on writing to one file system. It stands still while that is frozen."""

    all = []

    def __init__(self, name, path, seconds=0.05):
        self.name, self.path, self.count = name, path, mmap.mmap(-1, 8)
        self.pid = os.fork()
        if not self.pid:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            while True:
                os.pwrite(fd, b"x" * 4096, 0)
                os.fdatasync(fd)
                struct.pack_into("<Q", self.count, 0, self.done() + 1)
                time.sleep(seconds)
        Writer.all.append(self)

    def done(self):
        return struct.unpack_from("<Q", self.count)[0]

    def moves(self, seconds=60):
        before = self.done()
        return until(self.name + ": writing goes on", lambda: self.done() > before, seconds)

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        Writer.all.remove(self)


def stands_still(writers, seconds=1.5):
    """Which of them wrote nothing for so long. One write may have been on its way."""
    time.sleep(0.2)
    before = [w.done() for w in writers]
    time.sleep(seconds)
    return [w.name for w, b in zip(writers, before, strict=True) if w.done() == b]


def names(writers):
    return [w.name for w in writers]


class Host:
    """The host's end of the VSS channel; each method gives the status."""

    def __init__(self, versions=None):
        self.channel = Channel("vss", 30, None, 120)
        check(
            "negotiated", (self.channel.negotiate(None, versions), self.channel.mv), (True, (5, 0))
        )

    def op(self, number, body=b""):
        status, _, reply = self.channel.ic(VSS, struct.pack("<BxxxxxxxI", number, 0) + body)
        self.flags = struct.unpack_from("<I", reply, 8)[0]
        return status

    def check(self):
        return self.op(Vss.OPS["check"])

    def freeze(self, body=b""):
        began = time.monotonic()
        status = self.op(Vss.OPS["freeze"], body)
        note("freeze -> %#x after %.2f s" % (status, time.monotonic() - began))
        return status

    def thaw(self):
        return self.op(Vss.OPS["thaw"])

    def close(self):
        self.channel.close()


class Vssd(Daemon):
    """The daemon, its log read by a program that writes it to the root file system, as a logger
    does: that blocks while root is frozen."""

    def __init__(self, *settings, transport=None):
        self.log = LOG
        logger = subprocess.Popen(
            [
                "python3",
                "-uc",
                "import os, sys\n"
                "out = os.open('%s', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)\n"
                "for line in sys.stdin.buffer: os.write(out, line); os.fsync(out)" % self.log,
            ],
            stdin=subprocess.PIPE,
        )
        command = ["/rig/bin/hv_vss_daemon", "-n"] if REFERENCE else [BIN + "vmic-vss"]
        if transport:
            command += ["--transport", transport]
        for s in settings if not REFERENCE else ():
            command += ["--set", s]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=logger.stdin, stderr=logger.stdin
        )
        logger.stdin.close()
        self.logger = logger

    def has_open(self, prefix):
        try:
            return any(
                os.readlink("/proc/%d/fd/%s" % (self.process.pid, f)).startswith(prefix)
                for f in os.listdir("/proc/%d/fd" % self.process.pid)
            )
        except OSError:
            return False

    def await_serving(self, path=CHARDEV):
        until("the daemon has %s open" % path, lambda: self.has_open(path))
        if path == CHARDEV:  # until then hv_utils answers in its place
            h = Channel("vss", 30, None, 60)
            h.negotiate()
            until("it answers", lambda: h.ic(VSS, Vss.body(Vss.OPS["check"]))[0] == OK)
            h.close()

    def family(self):
        """The daemon and what it started."""
        found, known = [], {self.process.pid}
        for pid in sorted(int(p) for p in os.listdir("/proc") if p.isdigit()):
            try:
                parent = int(open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            if pid in known or parent in known:
                known.add(pid)
                found.append(pid)
        return found

    def guard(self):
        return next((p for p in self.family() if p != self.process.pid), None)

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        code = self.process.wait(30)
        self.logger.wait(30)
        return code


@atexit.register
def print_log():
    if failures and os.path.exists(LOG):
        for line in open(LOG):
            print("  daemon| " + line.rstrip(), flush=True)


def state(pid):
    """The states of a process's threads, and what it is."""
    found = []
    for task in os.listdir("/proc/%d/task" % pid):
        try:
            text = open("/proc/%d/task/%s/stat" % (pid, task)).read()
        except OSError:
            continue
        found.append((text.rsplit(")", 1)[1].split()[0], text.split("(", 1)[1].rsplit(")", 1)[0]))
    return found


def written():
    """Sectors written so far, by disk and partition."""
    return {
        os.path.basename(os.path.dirname(f)): int(open(f).read().split()[SECTORS_WRITTEN])
        for f in glob.glob("/sys/block/nvme*/stat") + glob.glob("/sys/block/nvme*/nvme*/stat")
    }


def make_file_systems():
    sh("modprobe loop; mkfs.xfs -q -f /dev/rig-scratch1; mkfs.btrfs -q -f /dev/rig-scratch2")
    sh(
        "mkdir -p /mnt/xfs /mnt/btrfs /mnt/sub '/mnt/a name' /mnt/hidden /mnt/ro;"
        "mount /dev/rig-scratch1 /mnt/xfs"
    )
    sh(
        "mount /dev/rig-scratch2 /mnt/btrfs; btrfs subvolume create /mnt/btrfs/sub;"
        "mount -o subvol=sub /dev/rig-scratch2 /mnt/sub"
    )
    # An ext4 with a name of its own; one below another mount; one that shows through a read-only
    # bind alone. Loop devices on memory: disks of their own
    for n, where in enumerate(("/mnt/a name", "/mnt/hidden", "/mnt/once")):
        sh(
            "mkdir -p '%s'; truncate -s 32M /run/disk%d; mkfs.ext4 -q -F /run/disk%d;"
            "mount -o loop /run/disk%d '%s'" % (where, n, n, n, where)
        )
    sh("mount --bind /mnt/once /mnt/ro; mount -o remount,bind,ro /mnt/ro")


def start_writers():
    found = [
        Writer("root", "/var/log/load"),
        Writer("xfs", "/mnt/xfs/w"),
        Writer("btrfs", "/mnt/btrfs/w"),
        Writer("btrfs subvolume", "/mnt/sub/w"),
        Writer("ext4, a name with a space", "/mnt/a name/w"),
        Writer("ext4, shadowed", "/mnt/hidden/w"),
        Writer("ext4, seen read-only", "/mnt/once/w"),
    ]
    for w in found:
        w.moves()
    # The writers' own descriptors stay good
    sh("mount -t tmpfs over /mnt/hidden; umount -l /mnt/once")
    return found


def backup(h, writers, body=b""):
    check("hot backup check", h.check(), OK)
    check("freeze", h.freeze(body), OK)
    check("all stand still", stands_still(writers), names(writers))
    check("thaw", h.thaw(), OK)
    for w in writers:
        w.moves()


def quiet_for(h, d, writers, seconds):
    note(
        "%d s with the root file system frozen, under load, with much to log: nothing is written, "
        "and none of ours waits for a disk" % seconds
    )
    check("freeze", h.freeze(), OK)
    time.sleep(0.5)
    before, family, waiting, end, told = written(), d.family(), set(), time.monotonic() + seconds, 0
    note(
        "processes: %s; sectors written so far: %s"
        % ([(p, open("/proc/%d/comm" % p).read().strip()) for p in family], before)
    )
    while time.monotonic() < end:
        if not REFERENCE:  # the C daemon would end
            d.process.send_signal(signal.SIGUSR1)
            told += 1  # has it log its state
        check("it answers", h.check(), OK)
        for _ in range(20):
            waiting.update(s for pid in family for s in state(pid) if s[0] == "D")
            time.sleep(0.05)
    check(
        "sectors written meanwhile",
        {k: v - before[k] for k, v in written().items() if v != before[k]},
        {},
    )
    check("threads of ours seen waiting for a disk", waiting, set())
    check("all stand still", stands_still(writers), names(writers))
    check("thaw", h.thaw(), OK)
    for w in writers:
        w.moves()
    until(
        "what it had to say meanwhile is in its log",
        lambda: open(d.log).read().count('"message":"State"') == told,
    )
