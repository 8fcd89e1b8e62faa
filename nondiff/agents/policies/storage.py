"""Data on disk that is written atomically: JSON, safetensors, and a manifest of checksums.

Nothing in it is executed on reading, so a stranger's files are safe to open.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from safetensors import SafetensorError

from nondiff.errors import NondiffError
from nondiff.files.folders import new_folder, publish, remove_made, remove_tree
from nondiff.files.safe_path import SafePath
from nondiff.files.untrusted_json import MAX_BYTES, parse_json

if TYPE_CHECKING:  # torch takes seconds to load
    from torch import Tensor

MANIFEST = "manifest.json"
IN_MEMORY = 2**26  # [bytes]; tensors of larger files are read from the disk as they are used
PIECE = 2**20  # [bytes]
TEMPORARY = re.compile(r"\.(step-\d{9,12}(-\d+)?)-[a-z0-9_]{8}")  # of a folder being written


@dataclass(frozen=True)
class Layout:
    """The files of one kind of folder.

    Args:
        kind: what such a folder is, for messages.
        format: name and version of the format, noted in the manifest.
        values: name of the JSON file.
        tensors: name of the safetensors file.
        max_file_bytes: no larger file of tensors is read [bytes].
        error: raised where a folder is not as it was written.
    """

    kind: str
    format: str
    values: str
    tensors: str
    max_file_bytes: int
    error: type[NondiffError]

    @property
    def files(self) -> tuple[str, str, str]:
        """The names of all its files."""
        return self.values, self.tensors, MANIFEST

    def manifest(self, contents: Mapping[str, bytes]) -> bytes:
        """The only bytes that a manifest of these files may have."""
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
        return self.manifest_of(sums)

    def manifest_of(self, sums: Mapping[str, str]) -> bytes:
        """The same of the checksums of the files."""
        return json.dumps({"format": self.format, "sha256": dict(sums)}, indent=1).encode()


def write(
    layout: Layout, folder: SafePath, values: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write a new folder, durably.

    Raises:
        OSError: the disk is full, or the folder exists; what was there is as it was.
    """
    contents = _contents(layout, values, tensors)
    with appearing(folder) as temporary:
        for name, data in contents.items():
            (temporary / name).write_new(data)


def is_written(
    layout: Layout, folder: SafePath, values: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> bool:
    """Whether a folder holds exactly what `write` would write."""
    contents = _contents(layout, values, tensors)
    try:
        return all((folder / name).read(len(data)) == data for name, data in contents.items())
    except OSError:
        return False


def _contents(
    layout: Layout, values: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> dict[str, bytes]:
    from safetensors.torch import save

    data = save({k: t.detach().cpu().contiguous() for k, t in tensors.items()})
    contents = {layout.values: json.dumps(values, indent=1).encode(), layout.tensors: data}
    return contents | {MANIFEST: layout.manifest(contents)}


@contextmanager
def appearing(folder: SafePath) -> Iterator[SafePath]:
    """A hidden folder, to be filled durably, which then takes its name; removed on any error.

    Raises:
        OSError: the disk is full, or `folder` exists and is not empty.
    """
    temporary = new_folder(folder.parent.make_folder(), f".{folder.name}-")
    try:
        yield temporary
        folder.check_folder()
        publish(temporary, folder.name)
    except BaseException:
        if temporary.kind() is not None:
            remove_tree(temporary)
        raise


def read(layout: Layout, folder: SafePath) -> tuple[Any, dict[str, Tensor]]:
    """The JSON values and the tensors of a folder.

    Raises:
        NondiffError: the layout's; a file is missing, altered, too large or of another format.
    """
    try:
        values = (folder / layout.values).read(MAX_BYTES)
        manifest = (folder / MANIFEST).read(MAX_BYTES)
        with (folder / layout.tensors).open_to_read() as file:
            _check_whole(layout, folder, values, file, manifest)
            return parse_json(values), _tensors(file)
    except OSError as error:
        raise layout.error(
            f"{folder} is not a whole {layout.kind}: {error.strerror or error} ({error.filename}); "
            f"it should hold {', '.join(layout.files[:2])} and {MANIFEST}"
        ) from error
    except NondiffError:  # some of which are errors of values, too
        raise
    except (ValueError, SafetensorError) as error:
        raise layout.error(f"{folder} is not a {layout.kind} of ours: {error}") from error


def clean(layout: Layout, folder: SafePath) -> None:
    """Remove what a writer that was killed left half-written; nobody else may be writing there."""
    for name in folder.names():
        if TEMPORARY.fullmatch(name):
            remove_made(folder / name, layout.files)


def _check_whole(
    layout: Layout, folder: SafePath, values: bytes, tensors: BinaryIO, manifest: bytes
) -> None:
    if tensors.seek(0, 2) > layout.max_file_bytes:
        raise layout.error(
            f"{folder / layout.tensors} is larger than {layout.max_file_bytes:,} bytes"
        )
    sums = {layout.values: hashlib.sha256(values).hexdigest(), layout.tensors: _digest(tensors)}
    if manifest != layout.manifest_of(sums):
        raise layout.error(
            f"{folder} is damaged or was altered: its files do not match {MANIFEST}; "
            "use another copy of it"
        )


def _digest(file: BinaryIO) -> str:
    total = hashlib.sha256()
    file.seek(0)
    while piece := file.read(PIECE):
        total.update(piece)
    return total.hexdigest()


def _tensors(file: BinaryIO) -> dict[str, Tensor]:
    from safetensors.torch import load, load_file

    size = file.seek(0, 2)
    file.seek(0)
    if size <= IN_MEMORY:
        return load(file.read())
    return load_file(f"/dev/fd/{file.fileno()}")  # mapped, not read
