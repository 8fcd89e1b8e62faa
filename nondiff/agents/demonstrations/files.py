"""The files of a Minari dataset that a stranger may have made: they are all that is read of it.

HDF5 can refer to other files (external links, external storage, virtual datasets) and have plugins
loaded (filters). A file that does is refused before a value of it is read.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from nondiff.files.safe_path import SafePath
from nondiff.files.untrusted_json import parse_json

METADATA, VALUES = "metadata.json", "main_data.hdf5"
FORMAT = "hdf5"
MAX_METADATA = 2**24  # [bytes]
MAX_FILE = 2**38  # [bytes]
MAX_OBJECTS = 10_000_000  # groups and datasets
MAX_SPACE = 2**24  # numbers in an observation or an action
# Arrays are at most so large, or so many times as large as their bytes in the file.
PLAIN_BYTES, MAX_RATIO = 2**28, 8
# Of the filters, those that HDF5 and h5py have built in: deflate, shuffle, Fletcher's checksum,
# szip, n-bit, scale-offset and LZF.
FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32_000})


def data_folder(path: Path, name: str) -> SafePath | None:
    """The folder of a dataset's that Minari reads; None: there is none."""
    for folder in (SafePath(path) / name, SafePath(path)):
        if (folder / METADATA).is_anything():
            return folder
    return None


def read_metadata(folder: SafePath) -> dict[str, Any]:
    """What a dataset says of itself.

    Raises:
        OSError, ValueError: it can't be read, or says what no dataset would.
    """
    metadata = parse_json((folder / METADATA).read(MAX_METADATA))
    if not isinstance(metadata, dict):
        raise ValueError(f"{METADATA} holds no JSON object")
    if metadata.get("data_format") != FORMAT:
        raise ValueError(f"its format is {metadata.get('data_format')!r}; only {FORMAT!r} is read")
    for name in ("observation_space", "action_space"):
        if name in metadata:
            _check_space(parse_json(str(metadata[name]).encode()))
    return metadata


def check_values(folder: SafePath) -> None:
    """Refuse a file of values that refers to anything outside itself, or is larger than it looks.

    Raises:
        OSError, ValueError: it is so, or can't be read.
    """
    import h5py

    (folder / VALUES).check_size(MAX_FILE)
    said = stored = 0
    with (folder / VALUES).open_to_read() as opened, h5py.File(opened, "r") as file:
        seen: set[int] = set()
        groups = [file]
        while groups:
            for name, item in _items(groups.pop(), seen):
                if isinstance(item, h5py.Group):
                    groups.append(item)
                    continue
                _check_dataset(name, item)
                said, stored = said + item.nbytes, stored + item.id.get_storage_size()
    if said > max(PLAIN_BYTES, MAX_RATIO * stored):
        raise ValueError(f"{VALUES} stores {stored:,} bytes of arrays that say they have {said:,}")


def _items(group: Any, seen: set[int]) -> list[tuple[str, Any]]:
    """The objects of a group, each of which may be in one group alone."""
    import h5py

    found = []
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{VALUES}: {name} is a link to elsewhere, which is not followed")
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen or len(seen) > MAX_OBJECTS:
            raise ValueError(f"{VALUES}: {name} is in it twice, or it has too many objects")
        seen.add(address)
        found.append((name, item))
    return found


def _check_dataset(name: str, dataset: Any) -> None:
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{VALUES}: {name} is neither a group nor a dataset")
    if dataset.external:
        raise ValueError(f"{VALUES}: {name} lies in another file, which is not opened")
    if dataset.is_virtual:
        raise ValueError(f"{VALUES}: {name} is made of other datasets, which are not opened")
    creation = dataset.id.get_create_plist()
    unknown = {creation.get_filter(k)[0] for k in range(creation.get_nfilters())} - FILTERS
    if unknown:
        raise ValueError(f"{VALUES}: {name} needs the filter {min(unknown)}, which is a plugin")
    if not _is_plain(dataset.dtype):
        raise ValueError(f"{VALUES}: {name} holds {dataset.dtype}, not numbers or text")


def _is_plain(dtype: Any) -> bool:
    """Numbers, text, and lists of numbers of any length; no references or records."""
    import h5py

    if dtype.kind in "biufcSU" or h5py.check_string_dtype(dtype) is not None:
        return True
    inner = h5py.check_vlen_dtype(dtype)
    return inner is not None and getattr(inner, "kind", "?") in "biufc"


def _check_space(described: Any) -> None:
    """Refuse a space that takes much memory just to be made."""
    parts = [described]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            _check_sizes(part)
            parts += part.values()
        elif isinstance(part, list):
            parts += [inner for inner in part if isinstance(inner, dict)]


def _check_sizes(space: dict[str, Any]) -> None:
    for name in ("shape", "n") if space.get("type") == "MultiBinary" else ("shape",):
        sizes = space.get(name, 0)
        sizes = sizes if isinstance(sizes, list) else [sizes]
        if not all(isinstance(size, int) and size >= 0 for size in sizes):
            raise ValueError(f"a space has the {name} {str(sizes)[:100]}")
        if math.prod(sizes) > MAX_SPACE:
            raise ValueError(f"a space has more than {MAX_SPACE:,} numbers")
