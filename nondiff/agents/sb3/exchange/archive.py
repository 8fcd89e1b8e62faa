"""Reads the zip files of Stable-Baselines3 member by member, no further than limits allow."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

from nondiff.errors import DamagedModelError
from nondiff.files.untrusted_json import parse_json

DATA, WEIGHTS = "data", "policy.pth"
MEMBER = re.compile(r"data|_stable_baselines3_version|system_info\.txt|\w+(\.\w+)*\.pth", re.ASCII)
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile reads these piece by piece
MAX_MEMBERS = 64
MAX_MEMBER = 2**31  # [bytes], decompressed, as the next two
MAX_DATA = 2**26
MAX_SUM = 2**32
PIECE = 2**20


def read_members(path: Path) -> tuple[dict[str, Any], bytes]:
    """The two members that describe the policy; the others are never decompressed."""
    if path.exists() and not path.is_file():
        raise DamagedModelError("it is not a file")
    if path.stat().st_size > MAX_SUM:
        raise DamagedModelError(f"it is larger than {MAX_SUM} bytes")
    with zipfile.ZipFile(path) as archive:
        _check_members(archive.infolist())
        data = parse_json(_read(archive, DATA, MAX_DATA))
        if not isinstance(data, dict):
            raise DamagedModelError(f"its member {DATA} is not a JSON object")
        return data, _read(archive, WEIGHTS, MAX_MEMBER)


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    names = [member.orig_filename for member in members]
    if len(names) > MAX_MEMBERS:
        raise DamagedModelError(f"it has {len(names)} members, more than {MAX_MEMBERS}")
    for member, name in zip(members, names, strict=True):
        if not MEMBER.fullmatch(name):
            raise DamagedModelError(f"Stable-Baselines3 writes no member named {name!r}")
        if names.count(name) > 1:
            raise DamagedModelError(f"it has more than one member named {name!r}")
        if member.compress_type not in COMPRESSIONS:
            raise DamagedModelError(f"its member {name!r} is neither stored nor deflated")
        largest = MAX_DATA if name == DATA else MAX_MEMBER
        if member.file_size > largest:
            raise DamagedModelError(f"its member {name!r} is larger than {largest} bytes")
    if sum(member.file_size for member in members) > MAX_SUM:
        raise DamagedModelError(f"its members are together larger than {MAX_SUM} bytes")
    for name in (DATA, WEIGHTS):
        if name not in names:
            raise DamagedModelError(f"it has no member {name!r}: not a model of Stable-Baselines3")


def _read(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    """Decompress a member no further than `largest`, whatever size its header declares.

    In pieces, since zipfile decompresses all it is asked for before it heeds the header.
    """
    content = bytearray()
    with archive.open(name) as member:
        while piece := member.read(PIECE):
            content += piece
            if len(content) > largest:
                raise DamagedModelError(f"its member {name!r} is larger than {largest} bytes")
    return bytes(content)
