"""Data on disk that appears whole or not at all: JSON, safetensors, and a manifest of checksums.

Nothing in it is executed on reading, so a stranger's files are safe to open.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from nondiff.envs.errors import NondiffError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Layout:
    """The files of one kind of folder.

    Args:
        kind: what such a folder is, for messages.
        format: name and version of the format, noted in the manifest.
        values: name of the JSON file.
        tensors: name of the safetensors file.
        largest_file: no larger one is read [bytes].
        error: raised where a folder is not as it was written.
    """

    kind: str
    format: str
    values: str
    tensors: str
    largest_file: int
    error: type[NondiffError]

    def manifest(self, contents: Mapping[str, bytes]) -> bytes:
        """The only bytes that a manifest of these files may have."""
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
        return json.dumps({"format": self.format, "sha256": sums}, indent=1).encode()


def write(
    layout: Layout, folder: Path, values: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write a new folder, durably.

    Raises:
        OSError: the disk is full, or the folder exists; what was there is as it was.
    """
    data = safetensors.torch.save({k: t.detach().cpu().contiguous() for k, t in tensors.items()})
    contents = {layout.values: json.dumps(values, indent=1).encode(), layout.tensors: data}
    with appearing(folder) as temporary:
        for name, text in (contents | {MANIFEST: layout.manifest(contents)}).items():
            write_durably(temporary / name, text)


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A hidden folder, to be filled durably, which then takes its name; removed on any error.

    Raises:
        OSError: the disk is full, or `folder` exists and is not empty.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        temporary.rename(folder)
        sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read(layout: Layout, folder: Path) -> tuple[Any, dict[str, Tensor]]:
    """The JSON values and the tensors of a folder.

    Raises:
        NondiffError: the layout's; a file is missing, altered, too large or of another format.
    """
    try:
        contents = {name: _read(folder / name, layout) for name in (layout.values, layout.tensors)}
        manifest = _read(folder / MANIFEST, layout)
    except OSError as error:
        raise layout.error(
            f"{folder} is not a whole {layout.kind}: {error.strerror or error} ({error.filename}); "
            f"it should hold {layout.values}, {layout.tensors} and {MANIFEST}"
        ) from error
    if manifest != layout.manifest(contents):
        raise layout.error(
            f"{folder} is damaged or was altered: its files do not match {MANIFEST}; "
            "use another copy of it"
        )
    try:
        return json.loads(contents[layout.values]), safetensors.torch.load(contents[layout.tensors])
    except (ValueError, RecursionError, SafetensorError) as error:
        raise layout.error(f"{folder} is not a {layout.kind} of ours: {error}") from error


def clean(folder: Path) -> None:
    """Remove what a writer that was killed left half-written; nobody else may be writing there."""
    for path in folder.glob(".*-*"):
        shutil.rmtree(path, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, layout: Layout) -> bytes:
    if path.stat().st_size > layout.largest_file:
        raise layout.error(f"{path} is larger than {layout.largest_file} bytes")
    return path.read_bytes()


def write_durably(path: Path, data: bytes) -> None:
    """Write a file, and return once it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
