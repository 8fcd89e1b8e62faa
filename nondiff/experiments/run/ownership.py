"""Which runs are the user's own: their configurations are signed with a key of the user's.

The key lies in the user's state folder, readable by nobody else. Where there is no such folder, no
run is known to be the user's own.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

KEY_BYTES = 32
NAME = "key"
_PURPOSE = b"nondiff run\0"


def signature(config: Mapping[str, Any]) -> str | None:
    """The user's signature of a configuration; None: the user has no key, nor a place for one."""
    key = _read(_folder()) or _made()
    return None if key is None else _signature(key, config)


def is_own(config: Mapping[str, Any], signed: object) -> bool:
    """Whether the user has signed a configuration so."""
    key = _read(_folder())
    if key is None or not isinstance(signed, str) or not signed.isascii():
        return False
    return hmac.compare_digest(_signature(key, config), signed)


def in_words() -> str:
    """How runs are signed, for a user who wonders why a command asks for `--trust`."""
    folder = _folder()
    if folder is None:
        return "runs are not signed as yours: there is no home to keep a key in"
    if _read(folder) is not None:
        return f"runs are signed as yours with {folder / NAME}"
    if os.path.lexists(folder / NAME):
        return (
            f"runs are not signed as yours: {folder / NAME} is not a file of yours alone; remove it"
        )
    return f"runs will be signed as yours with {folder / NAME}, if it can be written"


def _signature(key: bytes, config: Mapping[str, Any]) -> str:
    as_read = json.loads(json.dumps(config))  # what is signed is what will be read, whole
    content = json.dumps(as_read, sort_keys=True).encode()
    return hmac.new(key, _PURPOSE + content, "sha256").hexdigest()


def _folder() -> Path | None:
    """Where the key lies: in the state folder of the XDG specification."""
    if not hasattr(os, "geteuid"):
        return None
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    if base.is_absolute():
        return base / "nondiff"
    if os.environ.get("HOME") == "":  # which Path.home() takes for the root
        return None
    with suppress(RuntimeError, OSError):
        home = Path.home()
        if home.is_absolute() and home.stat().st_uid == os.geteuid():
            return home / ".local" / "state" / "nondiff"
    return None


def _read(folder: Path | None) -> bytes | None:
    """The key, if it is a file of the user's that nobody else can read or replace."""
    if folder is None:
        return None
    try:
        if not _is_private(folder.stat(), 0o022):
            return None
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            found = os.fstat(descriptor)
            key = os.read(descriptor, KEY_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    whole = stat.S_ISREG(found.st_mode) and len(key) == KEY_BYTES
    return key if whole and _is_private(found, 0o077) else None


def _is_private(found: os.stat_result, forbidden: int) -> bool:
    return found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & forbidden


def _made() -> bytes | None:
    """A new key; that of another process, if one was quicker."""
    folder = _folder()
    if folder is None:
        return None
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=folder)
        try:
            os.write(descriptor, secrets.token_bytes(KEY_BYTES))
            os.fsync(descriptor)
            with suppress(FileExistsError):
                os.link(temporary, folder / NAME)  # whole or not at all, and never over another
        finally:
            os.close(descriptor)
            os.unlink(temporary)  # noqa: PTH108
    return _read(folder)
