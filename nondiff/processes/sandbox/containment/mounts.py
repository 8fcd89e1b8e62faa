"""The file system that a program in the sandbox sees (mount namespaces of Linux).

The program can read everything except secrets. It can change only its own folder and the paths that
its user declares writable. Folders for temporary files and shared memory look as usual; what the
program writes to them and to its own folder goes to a bounded file system in memory, which is
discarded when the program ends.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from nondiff.processes.sandbox.containment import kernel

PRIVATE = "/dev/nondiff"  # mount point of the file system in memory during the setup
HOST_DEVICES = "/dev/host"
NOTHING, EMPTY = "/dev/nothing", "/dev/empty"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}  # in /proc/self
TEMPORARY = {  # folders for temporary files, and the content that they show
    "/tmp": "/tmp",  # noqa: S108
    "/var/tmp": "/var/tmp",  # noqa: S108
    "/dev/shm": f"{HOST_DEVICES}/shm",  # noqa: S108
}


def make_template(secrets: Sequence[str]) -> None:
    """Turn this mount namespace into the template that each program gets a copy of.

    Args:
        secrets: paths whose content is hidden.
    """
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    devices = kernel.detached("/dev")
    nodes = {n: kernel.detached(f"/dev/{n}") for n in DEVICES if os.path.exists(f"/dev/{n}")}
    attributes = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV
    kernel.set_mount(kernel.AT_FDCWD, "/", on=attributes)
    kernel.mount("tmpfs", "/dev", "tmpfs", kernel.MS_NOSUID, "mode=755,size=64k")
    for name in ("shm", *(os.path.basename(path) for path in (PRIVATE, HOST_DEVICES))):
        os.mkdir(f"/dev/{name}")
    for name, node in nodes.items():
        os.close(os.open(f"/dev/{name}", os.O_CREAT))
        kernel.attach(node, f"/dev/{name}")
    for name, target in LINKS.items():
        os.symlink(f"/proc/self/{target}", f"/dev/{name}")
    kernel.attach(devices, HOST_DEVICES)
    _hide(secrets)
    kernel.set_mount(
        kernel.AT_FDCWD, "/", on=kernel.MOUNT_ATTR_RDONLY
    )  # also the mounts made above


def _hide(paths: Sequence[str]) -> None:
    """Cover paths with empty files and folders that nobody can open."""
    os.mkdir(NOTHING, 0)
    os.close(os.open(EMPTY, os.O_CREAT, 0))
    for path in paths:
        empty = NOTHING if os.path.isdir(path) else EMPTY
        with suppress(OSError):
            kernel.mount(empty, path, flags=kernel.MS_BIND)


def mounts_in_temporary() -> list[str]:
    """Mount points inside folders for temporary files, which covering those folders would hide."""
    with open("/proc/self/mountinfo", "rb") as file:
        points = [line.split()[4].decode("unicode_escape") for line in file]
    inner = [p for p in points if any(p.startswith(f"{place}/") for place in TEMPORARY)]
    return sorted(p for p in inner if not any(p.startswith(f"{other}/") for other in inner))


def enter_view(
    template: int,
    folder: str,
    writable: Sequence[str],
    shown: Sequence[str],
    *,
    size: int,
    files: int,
) -> None:
    """Enter a copy of the template, and turn it into the view of one program.

    Args:
        template: descriptor of the template namespace.
        folder: the program's working folder, with its input files.
        writable: further paths that it may write to.
        shown: mount points from `mounts_in_temporary`, to be kept visible.
        size: maximum size of all files that it writes [bytes].
        files: maximum number of files.
    """
    kernel.enter(template, kernel.CLONE_NEWNS)
    kernel.unshare(kernel.CLONE_NEWNS)
    trees = [(path, kernel.detached(path)) for path in shown if os.path.exists(path)]
    trees += [(path, _writable_tree(path)) for path in writable]
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", PRIVATE, "tmpfs", flags, f"mode=755,size={size},nr_inodes={files}")
    for place, content in TEMPORARY.items():
        if os.path.isdir(place):
            with suppress(OSError):  # that folder stays read-only
                _cover(place, content)
    _cover(folder, _on_host(folder))
    for path, tree in trees:
        _mount_point(path)
        kernel.attach(tree, path)
    kernel.mount("proc", "/proc", "proc", flags | kernel.MS_RDONLY | kernel.MS_NOEXEC)
    for path in (PRIVATE, HOST_DEVICES):  # unmounting would wait for every processor
        kernel.mount(NOTHING, path, flags=kernel.MS_BIND)


def _on_host(path: str) -> str:
    """The path in the template of a path of the host."""
    return f"{HOST_DEVICES}/{path[5:]}" if path.startswith("/dev/") else path


def _cover(place: str, content: str) -> None:
    """Mount the content of a folder at `place`, such that writes go to memory."""
    name = f"{PRIVATE}/{len(os.listdir(PRIVATE))}"
    for part in (name, f"{name}/upper", f"{name}/work"):
        os.mkdir(part)
    os.chmod(f"{name}/upper", os.stat(content).st_mode & 0o7777)
    with os.scandir(content) as entries:
        if next(entries, None) is None:  # unmounts much faster than an overlay
            kernel.mount(f"{name}/upper", place, flags=kernel.MS_BIND)
            return
    os.chdir(content)  # so that no character of the path means anything to overlayfs
    options = f"lowerdir=.,upperdir={name}/upper,workdir={name}/work,userxattr"
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("overlay", place, "overlay", flags, options)


def _writable_tree(path: str) -> int:
    tree = kernel.detached(_on_host(path))
    kernel.set_mount(tree, "", off=kernel.MOUNT_ATTR_RDONLY)
    return tree


def _mount_point(path: str) -> None:
    """Create a mount point for a device that the template leaves out."""
    if os.path.exists(path):
        return
    attribute = kernel.MOUNT_ATTR_RDONLY
    kernel.set_mount(kernel.AT_FDCWD, "/dev", off=attribute, below=False)
    is_folder = os.path.isdir(_on_host(path))
    os.makedirs(path if is_folder else os.path.dirname(path), exist_ok=True)
    if not is_folder:
        os.close(os.open(path, os.O_CREAT))
    kernel.set_mount(kernel.AT_FDCWD, "/dev", on=attribute, below=False)
