"""What a program can't do to anybody, tried by programs that do it, at every level there is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from processes import contained

from nondiff.errors import InvalidOptionError
from nondiff.processes.sandbox import (
    CallFailed,
    Isolation,
    Limits,
    Output,
    PersistentProcess,
    guards_files,
    isolation,
    run_once,
)
from nondiff.processes.sandbox import launch as launching
from nondiff.processes.sandbox.containment.landlock import SCOPES_VERSION, landlock_version
from nondiff.processes.sandbox.trees import measure_tree, remove_tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
LEVELS: tuple[Isolation, ...] = ("sandbox", "namespaces", "supervised")
MIB = 1 << 20
PATIENCE = 20.0  # [s]
DONE = "done it\n"


@pytest.fixture(scope="module", params=LEVELS)
def level(request: pytest.FixtureRequest) -> Iterator[Isolation]:
    with contained(request.param):
        if isolation() != request.param:
            pytest.skip(f"this system allows {isolation()!r} instead")
        yield request.param


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of the user's, in none of those for temporary files, which are shared."""
    shared = ("/tmp", "/var/tmp", "/dev/shm", tempfile.gettempdir())
    if any(Path.home().resolve().is_relative_to(place) for place in shared):
        pytest.skip(f"the home folder {Path.home()} lies among temporary files: set another HOME")
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix=".nondiff-test-") as place:
        yield Path(place)


def attempt(code: str, *arguments: object, **limits: Any) -> Output:
    """Run an attack, which prints `DONE` if it has succeeded."""
    words = [sys.executable, "-I", "-c", f"{code}\nprint('done it')", *map(str, arguments)]
    limits = {"timeout": PATIENCE} | limits
    return run_once(words, limits=Limits(**limits), accept=None)


def failure(code: str, *arguments: object, **limits: Any) -> str:
    with pytest.raises(CallFailed) as caught:
        print(attempt(code, *arguments, **limits))
    return str(caught.value)


# ---- Files of others

WRITINGS = {
    "write": "open(path, 'w').write('ruined')",
    "append": "open(path, 'a').write('ruined')",
    "truncate": "os.truncate(path, 0)",
    "remove": "os.unlink(path)",
    "rename": "os.rename(path, path + '-')",
    "replace": "open('new', 'w').close(); os.rename('new', path)",
    "link over": "os.unlink(path); os.link('/etc/hostname', path)",
    "beside": "open(path + '-', 'w').close()",
    "folder": "os.mkdir(path + '-')",
    "through /proc": "open(f'/proc/self/cwd/{os.path.relpath(path)}', 'w').write('ruined')",
    "through a link": "os.symlink(path, 'link'); open('link', 'w').write('ruined')",
}


@pytest.mark.parametrize("way", WRITINGS)
def test_what_a_user_has_stays_as_it_was(level: Isolation, way: str, home: Path) -> None:
    if not guards_files():
        pytest.skip("this system has no Landlock")
    path = home / "thesis.txt"
    path.write_text("whole")
    attempt(f"import os, sys\npath = sys.argv[1]\n{WRITINGS[way]}", path)
    assert path.read_text() == "whole"
    assert [entry.name for entry in home.iterdir()] == ["thesis.txt"]


CHMOD = "import os, sys\nos.chmod(sys.argv[1], 0o777)\nos.utime(sys.argv[1], (0, 0))"


def test_in_the_sandbox_modes_and_times_stay_too(level: Isolation, home: Path) -> None:
    if level != "sandbox":
        pytest.skip("Landlock does not cover modes and times")
    path = home / "thesis.txt"
    path.write_text("whole")
    before = path.stat()
    assert "Read-only file system" in attempt(CHMOD, path).stderr
    assert path.stat() == before


@pytest.mark.parametrize("place", ["/tmp", "/var/tmp", "/dev/shm"])
def test_in_the_sandbox_nothing_stays_in_shared_folders(level: Isolation, place: str) -> None:
    if level != "sandbox":
        pytest.skip("these folders are shared at other levels, as the page says")
    own = Path(place, f"nondiff-test-{uuid.uuid4()}")
    own.write_text("whole")
    try:
        code = "import sys\np = sys.argv[1]\nprint(open(p).read())\nopen(p, 'a').write('!')\n"
        code += "open(p + '-', 'w').close()\nprint(open(p).read())"
        assert attempt(code, own).stdout == "whole\nwhole!\n" + DONE  # to itself it seems so
        assert own.read_text() == "whole"
        assert not Path(f"{own}-").exists()
        assert attempt(code, own).stdout == "whole\nwhole!\n" + DONE
    finally:
        own.unlink()


def test_what_is_declared_can_be_written(level: Isolation, home: Path) -> None:
    for number, place in enumerate((home, Path(tempfile.gettempdir()))):
        folder = place / f"table-{os.getpid()}-{number}"
        folder.mkdir()
        try:
            code = "import sys\nopen(sys.argv[1] + '/cache', 'w').write('kept')"
            assert attempt(code, folder, writable=(folder,)).stdout == DONE
            assert (folder / "cache").read_text() == "kept"
        finally:
            remove_tree(folder)


def test_declared_paths_are_checked(home: Path) -> None:
    for paths, message in (
        (("table",), "'table' can't be used: give an absolute path of what exists"),
        ((home / "none",), "none' can't be used: give an absolute path of what exists"),
        (("/",), "'/' can't be used: give a path below that"),
        (("/tmp/../",), "can't be used: give a path below that"),
        (("/tmp/\0",), "give an absolute path of what exists"),
        ("/tmp", r"writable must list paths, as in \('/tmp',\)"),
    ):
        with pytest.raises(InvalidOptionError, match=message):
            Limits(writable=paths)  # type: ignore[arg-type]
    assert Limits(writable=(home,)).as_order()["writable"] == [str(home)]


def test_secrets_of_the_user_are_hidden_in_the_sandbox(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".ssh").mkdir()
    for name in (".ssh/id_ed25519", ".netrc"):
        (home / name).write_text("secret")
    (home / "data.txt").write_text("data")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    (home / "state/nondiff").mkdir(parents=True)
    (home / "state/nondiff/key").write_text("secret")
    with contained("sandbox"):
        if isolation() != "sandbox":
            pytest.skip("this system allows no sandbox")
        read = "import sys\nprint(open(sys.argv[1]).read())"
        assert attempt(read, home / "data.txt").stdout == "data\n" + DONE
        for path in (home / ".ssh/id_ed25519", home / ".netrc", home / "state/nondiff/key"):
            found = attempt(f"import os\n{read}", path)
            assert "secret" not in found.stdout + found.stderr
            assert "Permission denied" in found.stderr
            chmod = f"import os, sys\nos.chmod({str(path.parent)!r}, 0o700)\n{read}"
            assert "secret" not in attempt(chmod, path).stdout


# ---- Processes and sockets of others


@pytest.fixture
def neighbour() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user with a secret in its environment."""
    with subprocess.Popen(["sleep", "600"], env={"TOKEN": "geheim"}) as process:
        yield process
        process.kill()


ENVIRONMENTS = """
import glob
for path in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/task/*/environ'):
    try:
        found = open(path, 'rb').read()
    except OSError:
        continue
    assert b'geheim' not in found, path
"""


def test_no_environment_of_another_process_can_be_read(
    level: Isolation, neighbour: subprocess.Popen[bytes]
) -> None:
    if not guards_files():
        pytest.skip("this system has no Landlock")
    found = attempt(ENVIRONMENTS)
    assert found.stdout == DONE, found.stderr


def test_in_the_sandbox_no_other_process_is_seen(level: Isolation) -> None:
    if level != "sandbox":
        pytest.skip("others are seen at other levels, as the page says")
    code = "import os\nprint(len([n for n in os.listdir('/proc') if n.isdigit()]))"
    assert attempt(code).stdout == "2\n" + DONE
    for path in ("environ", "mem", "maps", "fd/0"):  # of the process that watches it
        found = attempt(f"open('/proc/1/{path}', 'rb').read(1)")
        assert "Permission denied" in found.stderr, path


def test_no_other_process_can_be_signalled(
    level: Isolation, neighbour: subprocess.Popen[bytes]
) -> None:
    if level == "supervised" and landlock_version() < SCOPES_VERSION:
        pytest.skip("this system's Landlock does not cover signals")
    code = "import os, signal, sys\nos.kill(int(sys.argv[1]), signal.SIGKILL)"
    assert attempt(code, neighbour.pid).stdout != DONE
    assert attempt(code, os.getppid()).stdout != DONE
    assert neighbour.poll() is None
    with suppress(CallFailed):
        attempt("import os, signal\nos.kill(-1, signal.SIGTERM)")
    assert neighbour.poll() is None


def test_no_open_file_of_others_is_inherited(home: Path) -> None:
    number = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(number, True)
    try:
        for level in LEVELS:
            with contained(level):
                listing = "import os\nprint(os.listdir('/proc/self/fd'))"
                assert attempt(listing).stdout == f"{['0', '1', '2', '3']}\n{DONE}"
                write = f"import os\nos.close(os.open('x', os.O_CREAT, dir_fd={number}))"
                assert attempt(write).stdout != DONE
    finally:
        os.close(number)
    assert not list(home.iterdir())


TRACE = "import ctypes, sys\nassert ctypes.CDLL(None).ptrace(16, int(sys.argv[1]), 0, 0) == 0"


def test_no_other_process_can_be_traced(
    level: Isolation, neighbour: subprocess.Popen[bytes]
) -> None:
    if not guards_files():
        pytest.skip("this system has no Landlock")
    for number in (neighbour.pid, 1, os.getpid()):
        assert attempt(TRACE, number).stdout != DONE
    above = "import os\n" + TRACE.replace("int(sys.argv[1])", "os.getppid()")
    assert attempt(above).stdout != DONE


@pytest.mark.parametrize("is_abstract", [False, True])
def test_no_unix_socket_can_be_reached(level: Isolation, is_abstract: bool, home: Path) -> None:
    name = f"\0nondiff-{uuid.uuid4()}" if is_abstract else os.path.relpath(home / "socket")
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(name)
        server.listen()
        server.settimeout(0.1)
        path = name if is_abstract else str(home / "socket")
        code = f"import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect({path!r})"
        found = attempt(code)
        assert "Permission denied" in found.stderr, found
        with pytest.raises(TimeoutError):
            server.accept()


def test_no_network_can_be_reached(level: Isolation) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = server.getsockname()
        code = f"import socket\nsocket.create_connection({address!r}, 5)"
        assert attempt(code).stdout != DONE
        assert attempt(code, network=True).stdout == DONE


def test_pairs_of_sockets_work(level: Isolation) -> None:
    code = "import socket\na, b = socket.socketpair()\na.send(b'x')\nassert b.recv(1) == b'x'"
    assert attempt(code).stdout == DONE


# ---- Rights

SYSTEM_CALLS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
os.mkdir('place')
"""
RIGHTS = {
    "mount": "call(libc.mount(b'none', b'place', b'tmpfs', 0, None))",
    "mount over": "call(libc.mount(b'place', b'/etc', None, 4096, None))",
    "remount": "call(libc.mount(None, b'/', None, 32 | 4096, None))",
    "unmount": "call(libc.umount2(b'/proc', 2))",
    "own users": "call(libc.unshare(0x10000000))",
    "own mounts": "call(libc.unshare(0x20000))",
    "clone": "pid = libc.syscall(56 if os.uname().machine == 'x86_64' else 220, 0x10000011,"
    " 0, 0, 0, 0)\nif pid == 0: os._exit(0)\ncall(pid)",
    "chroot": "os.chroot('place')",
    "another user": "os.setuid(12345)",
    "another group": "os.setgroups([12345])",
    "give away": "os.chown('place', 12345, 12345)",
    "device": "os.mknod('disk', 0o60600, os.makedev(8, 0)); open('disk', 'rb')",
    "clock": "import time; time.clock_settime(time.CLOCK_REALTIME, time.time())",
    "host name": "import socket; socket.sethostname('x')",
    "priority": "os.nice(-5)",
    "keyring": "call(libc.syscall(250 if os.uname().machine == 'x86_64' else 219, 0, -3, 1))",
    "io_uring": "call(libc.syscall(425, 1, ctypes.create_string_buffer(120)))",
    "kernel": "open('/proc/sys/kernel/core_pattern', 'a').write('')",
    "limits": "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
}


@pytest.mark.parametrize("right", RIGHTS)
def test_a_program_has_no_rights_of_root(level: Isolation, right: str) -> None:
    if right == "kernel" and not guards_files():
        pytest.skip("this system has no Landlock")
    found = attempt(SYSTEM_CALLS + RIGHTS[right])
    assert found.stdout != DONE
    assert "Error" in found.stderr, found


def test_a_program_has_no_capabilities_and_gets_none(level: Isolation) -> None:
    lines = run_once(["cat", "/proc/self/status"]).stdout.splitlines()
    found = dict(line.split(":\t", 1) for line in lines)
    assert {int(found[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Amb")} == {0}
    if os.geteuid() == 0:
        assert int(found["CapBnd"], 16) == 0
    assert found["NoNewPrivs"].strip() == "1"
    assert found["Seccomp"].strip() == "2"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make such a program")
def test_a_program_with_the_bit_of_root_has_no_rights_either(level: Isolation, home: Path) -> None:
    cat = home / "cat"
    cat.write_bytes(Path("/bin/cat").read_bytes())
    cat.chmod(0o4755)
    found = run_once([str(cat), "/proc/self/status"]).stdout
    assert "CapEff:\t0000000000000000" in found


def test_in_the_sandbox_devices_are_the_harmless_ones(level: Isolation) -> None:
    if level != "sandbox":
        pytest.skip("devices are the system's at other levels, as the page says")
    code = "import os, stat\nfor d, _, names in os.walk('/dev'):\n for n in names:\n"
    code += "  mode = os.lstat(os.path.join(d, n)).st_mode\n"
    code += "  if stat.S_ISBLK(mode) or stat.S_ISCHR(mode): print(n)"
    found = set(attempt(code).stdout.split())
    assert found <= {"null", "zero", "full", "random", "urandom", "tty", "done", "it"}
    for name, size in (("zero", 1), ("urandom", 1), ("null", 0)):
        assert attempt(f"assert len(open('/dev/{name}','rb').read(1)) == {size}").stdout == DONE
    assert attempt("open('/dev/null', 'w').write('x')").stdout == DONE
    assert attempt("import os\nos.chmod('/dev/null', 0)").stdout != DONE


# ---- Totals

HELD = "import time\ntime.sleep(600)"
BOMBS: dict[str, tuple[str, dict[str, Any], str]] = {
    "processes": (
        f"import os, time\nfor _ in range(2000):\n if os.fork() == 0: time.sleep(600)\n{HELD}",
        {},
        "it ran more than 512 processes and threads at once",
    ),
    "a bomb": (
        "import os\nwhile True: os.fork()",
        {},
        "it ran more than 512 processes and threads at once",
    ),
    "threads": (
        "import threading\nthreading.stack_size(1 << 16)\nevent = threading.Event()\n"
        f"for _ in range(600): threading.Thread(target=event.wait).start()\n{HELD}",
        {},
        "it ran more than 512 processes and threads at once",
    ),
    "memory": (
        "import os\nfor _ in range(8):\n if os.fork() == 0: break\n"
        f"held = b'x' * (100 << 20)\n{HELD}",
        {"memory": 256 * MIB},
        "it used more than 256 MiB of memory in all",
    ),
    "shared memory": (
        f"import mmap\nheld = [mmap.mmap(-1, 1 << 20) for _ in range(150)]\n"
        f"for m in held: m.write(b'x' * (1 << 20))\n{HELD}",
        {"total_memory": 128 * MIB},
        "it used more than 128 MiB of memory in all",
    ),
    "bytes": (
        "for n in range(70): open(f'f{n}', 'wb').write(b'x' * 15_000_000)",
        {},
        "its files took more than 256 MiB in all",
    ),
    "files": (
        f"for n in range(20_000): open(f'f{{n}}', 'wb').close()\n{HELD}",
        {},
        "it had more than 4,096 files",
    ),
    "folders": (
        f"import os\nfor n in range(20_000): os.mkdir(f'f{{n}}')\n{HELD}",
        {},
        "it had more than 4,096 files",
    ),
}
QUICK = {
    "sandbox": tuple(BOMBS),
    "namespaces": ("memory",),
    "supervised": ("processes", "files"),
}


def check_bomb(bomb: str) -> None:
    code, limits, message = BOMBS[bomb]
    assert message in failure(code, **limits)


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_processes_use_together_is_bounded(level: Isolation, bomb: str) -> None:
    if bomb not in QUICK[level]:
        pytest.skip("among the thorough ones")
    check_bomb(bomb)


@pytest.mark.thorough
@pytest.mark.parametrize("bomb", BOMBS)
def test_it_is_at_every_level(level: Isolation, bomb: str) -> None:
    if bomb == "a bomb" and level == "supervised" and os.geteuid() == 0:
        pytest.skip("nothing holds such a program of root's back there, as the page says")
    check_bomb(bomb)


SEGMENTS = """
import ctypes
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
for n in range(40):
    segment = libc.shmget(0, 8 << 20, 0o600)
    at = libc.shmat(segment, None, 0)
    ctypes.memset(at, 1, 8 << 20)
    libc.shmdt(ctypes.c_void_p(at))
"""


def test_segments_that_nobody_maps_count_too(level: Isolation) -> None:
    if level == "supervised":
        pytest.skip("segments are the system's there, as the page says")
    message = failure(SEGMENTS + HELD, total_memory=128 * MIB)
    assert "it used more than 128 MiB of memory in all" in message


def test_there_are_no_files_without_a_name_in_memory(level: Isolation) -> None:
    assert "Function not implemented" in attempt("import os\nos.memfd_create('x')").stderr


def test_shared_folders_count_in_the_sandbox(level: Isolation) -> None:
    if level != "sandbox":
        pytest.skip("these folders are shared at other levels, as the page says")
    code = "for n in range(20): open(f'/dev/shm/f{n}', 'wb').write(b'x' * (4 << 20))"
    assert "its files took more than 32 MiB in all" in failure(code, total_size=32 * MIB)


def test_a_program_that_stays_is_told_the_reason_too(level: Isolation) -> None:
    code = "import sys\nfor line in sys.stdin:\n held = b'x' * (200 << 20)\n"
    code += " import time; time.sleep(600)"
    limits = Limits(timeout=PATIENCE, total_memory=128 * MIB)
    message = "crash: it used more than 128 MiB of memory in all"
    words = [sys.executable, "-c", code]
    with (
        closing(PersistentProcess(words, limits=limits)) as process,
        pytest.raises(CallFailed, match=message),
    ):
        process.ask("1\n")


@pytest.mark.thorough
def test_processes_that_share_memory_are_not_charged_twice(level: Isolation) -> None:
    code = "import os, time\nheld = b'x' * (60 << 20)\nfor _ in range(6):\n"
    code += " if os.fork() == 0:\n  time.sleep(1); os._exit(0)\nfor _ in range(6): os.wait()"
    assert attempt(code, total_memory=200 * MIB).stdout == DONE


def test_what_is_given_does_not_count(level: Isolation) -> None:
    files = {f"mesh-{n}": b"x" * MIB for n in range(20)}
    limits = Limits(total_size=10 * MIB, files=10, timeout=PATIENCE)
    words = [sys.executable, "-c", "import time; time.sleep(0.3); open('out', 'w').write('1')"]
    assert run_once(words, files=files, reads=("out",), limits=limits).files == {"out": "1"}


# ---- What is left, and what is read

DEEP = "import os\nfor _ in range(3000): os.mkdir('d' * 100); os.chdir('d' * 100)"
LEFT = {
    "deep": DEEP,
    "deep and shut": DEEP.replace("3000", "50")
    + "\nfor _ in range(50): os.chdir('..'); os.chmod('d' * 100, 0)",
    "many": "import os\nfor n in range(50_000): os.close(os.open(str(n), os.O_CREAT))",
    "names": "import os\nfor n in (b'a\\nb', b'\\xff\\xfe', b'-rf', b' ', b'*', b'x' * 255):\n"
    " os.mkdir(n); os.close(os.open(n + b'/' + n, os.O_CREAT))",
    "shut": "import os\nos.makedirs('a/b')\nopen('a/b/c', 'w').close()\nos.chmod('a/b', 0)\n"
    "os.chmod('a', 0)\nos.chmod('.', 0)",
    "kinds": "import os, socket\nos.mkfifo('fifo')\nos.symlink('.', 'loop')\n"
    "os.symlink('/nowhere', 'dangling')\nos.symlink('/', 'root')",
}


def check_left(kind: str, tmp_path: Path) -> None:
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path)
    try:
        found = attempt(LEFT[kind], files=100_000, total_size=1 << 30)
    finally:
        tempfile.tempdir = before
    assert found.stdout == DONE, found.stderr
    assert not list(tmp_path.glob(f"{launching.PREFIX}*"))


@pytest.mark.thorough
@pytest.mark.parametrize("kind", LEFT)
def test_nothing_is_left_of_a_folder(level: Isolation, kind: str, tmp_path: Path) -> None:
    if level != "sandbox" and kind in ("deep", "many"):  # on a disk that takes seconds
        pytest.skip("among the thorough ones")
    check_left(kind, tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["deep", "deep and shut", "many"])
def test_nothing_is_left_at_any_level(level: Isolation, kind: str, tmp_path: Path) -> None:
    check_left(kind, tmp_path)


def test_a_tree_is_removed_without_following_links(home: Path) -> None:
    kept = home / "kept"
    kept.mkdir()
    (kept / "file").touch()
    tree = home / "tree"
    (tree / "a/b").mkdir(parents=True)
    for name in ("link", "a/link", "a/b/link"):
        (tree / name).symlink_to(kept)
    assert measure_tree(str(tree), lambda *_: False)[1] == 5
    remove_tree(tree)
    assert [entry.name for entry in home.iterdir()] == ["kept"]
    assert (kept / "file").exists()
    (home / "link").symlink_to(kept)
    remove_tree(home / "link")
    remove_tree(home / "none")
    assert (kept / "file").exists()


PLANTED = {
    "link": ("os.symlink('/etc/passwd', 'out')", "out"),
    "folder": ("os.mkdir('a'); os.symlink('/etc', 'a/b')", "a/b/passwd"),
    "upwards": ("os.symlink('../../../../../../etc', 'a')", "a/passwd"),
    "to itself": ("os.symlink('out', 'out')", "out"),
    "FIFO": ("os.mkfifo('out')", "out"),
    "a folder": ("os.mkdir('out')", "out"),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_no_link_is_followed_where_outputs_are_read(level: Isolation, kind: str) -> None:
    body, name = PLANTED[kind]
    body = f"import os, shutil\nshutil.rmtree('a', ignore_errors=True)\n{body}"
    words = [sys.executable, "-I", "-c", body]
    with pytest.raises(CallFailed) as caught:
        run_once(words, reads=(name,), limits=Limits(timeout=PATIENCE), accept=None)
    assert caught.value.kind == "invalid output"
    assert "root:" not in str(caught.value)


# ---- Programs that are anywhere keep working


@pytest.mark.parametrize("place", ["tmp_path", "home", "/dev/shm", "/var/tmp"])
def test_programs_are_found_where_they_are(
    level: Isolation, place: str, home: Path, tmp_path: Path
) -> None:
    around = {"tmp_path": tmp_path, "home": home}.get(place, Path(place))
    folder = around / f"nondiff-test-{uuid.uuid4()}"
    folder.mkdir()
    try:
        (folder / "data").write_text("42\n")
        program = folder / "solve me"
        program.write_text('#!/bin/sh\ncat "$(dirname "$0")/data"\n')
        program.chmod(0o755)
        assert run_once([str(program)], limits=Limits(timeout=PATIENCE)).stdout == "42\n"
    finally:
        remove_tree(folder)


@pytest.mark.parametrize("name", ["with space", "a:b,c=d", "back\\slash", "ü\n"])
def test_folders_for_temporary_files_may_have_any_name(
    level: Isolation, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / name
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    found = run_once(["sh", "-c", "cat in > out; cat out"], files={"in": "1"}, reads=("out",))
    assert found.files == {"out": "1"}
    assert not list(place.iterdir())


USUAL: dict[str, str] = {
    "temporary file": "import tempfile\ntempfile.TemporaryFile(dir='/tmp').write(b'x')",
    "several processes": "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as p:\n"
    " assert p.map(abs, [-1]) == [1]",
    "shared memory": "from multiprocessing.shared_memory import SharedMemory as S\n"
    "s = S(create=True, size=9)\ns.buf[0] = 1\ns.close(); s.unlink()",
    "processors": "import os\nassert os.cpu_count() and open('/proc/cpuinfo').read()",
    "shell": "import subprocess\nassert subprocess.check_output('echo 1 | cat', shell=True)",
    "moves": "import os\nos.makedirs('a/b'); os.rename('a', 'c'); os.rename('c/b', 'd')",
    "random": "import os, secrets\nsecrets.token_bytes(9)",
}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", USUAL)
def test_what_programs_usually_do_works(level: Isolation, kind: str) -> None:
    found = attempt(USUAL[kind])
    assert found.stdout == DONE, found.stderr


def test_a_training_inside_the_sandbox_runs_programs_as_well() -> None:
    code = (
        "from nondiff.processes.sandbox import isolation, run_once\n"
        "print(isolation(), run_once(['echo', 'inner']).stdout)"
    )
    words = [sys.executable, "-c", code]
    found = run_once(words, limits=Limits(timeout=PATIENCE, memory=1 << 33))
    assert found.stdout.split()[-1] == "inner"


def retried(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@pytest.mark.thorough
def test_a_folder_goes_when_its_user_is_killed(level: Isolation, tmp_path: Path) -> None:
    code = (
        "import sys, tempfile\ntempfile.tempdir = sys.argv[2]\n"
        "from nondiff.processes.sandbox import run_once, Limits, spawner\n"
        "spawner._spawner = spawner.Spawner(sys.argv[1])\n"
        "run_once(['sh', '-c', 'mkdir -p a/b; sleep 600'], limits=Limits(timeout=600))"
    )
    with subprocess.Popen([sys.executable, "-c", code, level, str(tmp_path)]) as process:
        assert retried(lambda: bool(list(tmp_path.glob(f"{launching.PREFIX}*"))))
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
    assert retried(lambda: not list(tmp_path.iterdir()))
