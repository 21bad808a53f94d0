"""Runs one program as a container's engine would: a root of its own, read-only, its mounts, another user, no rights at all.

As a program: sandbox.py SPECIFICATION, a JSON object of Sandbox's fields. It becomes the program, so that its process id is the
program's. Needs root, and takes everything that root may away before the program begins.
"""

import ctypes
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field

CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, LAST_CAPABILITY = 24, 38, 40
DEVICES = ("null", "zero", "full", "random", "urandom")
libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Sandbox:
    root: str
    command: list
    environment: dict = field(default_factory=dict)
    mounts: list = field(default_factory=list)  # [what, where in the root, may be written]
    uid: int = 10001
    gid: int = 10001
    network_of: int = 0  # a process whose network it shares; 0: the caller's
    writable: bool = False  # the root


def check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(source, target, kind, flags, data=None):
    encoded = [value.encode() if value else None for value in (source, target, kind)]
    check(libc.mount(*encoded, ctypes.c_ulong(flags), data.encode() if data else None), f"mount {source} on {target}")


def bind(source, target, writable):
    mount(source, target, None, MS_BIND | MS_REC)
    if not writable:
        mount(None, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID)


def join_network(pid):
    with open(f"/proc/{pid}/ns/net", "rb") as namespace:
        check(libc.setns(namespace.fileno(), 0), f"network of process {pid}")


def make_target(source, target):
    """A mount needs something to lie on."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "w").close()


def mount_devices(root):
    mount("tmpfs", f"{root}/dev", "tmpfs", MS_NOSUID, "mode=755,size=64k")
    for name in DEVICES:
        open(f"{root}/dev/{name}", "w").close()
        mount(f"/dev/{name}", f"{root}/dev/{name}", None, MS_BIND)
    os.mkdir(f"{root}/dev/shm")
    mount("tmpfs", f"{root}/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m")


def build_root(box):
    """In a mount namespace of its own, so that nobody else sees it and it ends with the process."""
    check(libc.unshare(CLONE_NEWNS), "unshare")
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    for what, where, _ in box.mounts:
        make_target(what, box.root + where)
    mount(box.root, box.root, None, MS_BIND)
    mount("proc", f"{box.root}/proc", "proc", MS_NOSUID | MS_NODEV)
    mount_devices(box.root)
    for what, where, writable in box.mounts:
        bind(what, box.root + where, writable)
    if not box.writable:
        mount(None, box.root, None, MS_BIND | MS_REMOUNT | MS_RDONLY)
    os.chroot(box.root)
    os.chdir("/")


def drop_rights(box):
    os.setgroups([box.gid])
    if box.uid == 0:
        return
    for capability in range(LAST_CAPABILITY + 1):
        check(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), f"drop capability {capability}")
    os.setresgid(box.gid, box.gid, box.gid)
    os.setresuid(box.uid, box.uid, box.uid)
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


def become(box):
    if box.network_of:
        join_network(box.network_of)
    build_root(box)
    drop_rights(box)
    os.execve(box.command[0], box.command, box.environment)


def popen(box, **options):
    """The program as a subprocess.Popen."""
    return subprocess.Popen([sys.executable, os.path.abspath(__file__), json.dumps(asdict(box))], **options)


if __name__ == "__main__":
    os.umask(0o022)
    become(Sandbox(**json.loads(sys.argv[1])))
