"""Read the tensors in a zip of Stable-Baselines3 with torch's reader of weights alone."""

from __future__ import annotations

import io
import zipfile

import torch
from torch import Tensor

from nondiff.errors import DamagedModelError

MAX_SHARED = 4  # names under which a tensor is saved once, as those of shared feature extractors


def read_tensors(content: bytes, name: str) -> dict[str, Tensor]:
    """The tensors that torch saved, by name.

    Args:
        content: the file.
        name: what it is called, for messages.

    Raises:
        DamagedModelError: it holds something else, or tensors that take more than the file does.
    """
    try:
        _check_stored(content)
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's own and pickle's, among others
        raise DamagedModelError(f"its member {name} can't be read as tensors") from error
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise DamagedModelError(f"its member {name} holds something else than tensors")
    total = 0
    for key, tensor in found.items():
        if tensor.layout is not torch.strided or _size(tensor) > tensor.untyped_storage().nbytes():
            raise DamagedModelError(f"its weight {key} is larger than what is saved of it")
        total += _size(tensor)
    if total > MAX_SHARED * len(content):
        raise DamagedModelError("its weights are larger than what is saved of them")
    return {str(key): tensor for key, tensor in found.items()}


def _check_stored(content: bytes) -> None:
    """Refuse compressed members, which torch never writes, and which may be of any size."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("compressed")


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
