"""Pictures of what an environment's `render` gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nondiff.errors import InvalidOptionError

CHANNELS = (1, 3, 4)  # grey, colours, colours and opacity
PICTURES = "pictures are arrays (height, width), (height, width, 3) or (height, width, 4) of "
NUMBERS = "bytes, or of numbers from 0 to 1 or to 255"


class Pictures:
    """Makes pictures of what `render` gives, call after call.

    Grey pictures, floating-point numbers, and channels that come first are understood; opacity is
    left out. Numbers are from 0 to 1 until one is larger, and from 0 to 255 from then on.

    Args:
        name: of the environment, for messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._largest = 1.0

    def of(self, rendered: Any) -> list[Image.Image]:
        """The pictures that a call gave: one, or those of a list.

        Raises:
            InvalidOptionError: it is no picture; names the environment, and says what it is.
        """
        found = rendered if _is_several(rendered) else [rendered]
        return [self._picture(one) for one in found]

    def _picture(self, given: Any) -> Image.Image:
        if isinstance(given, Image.Image):
            if 0 in given.size:
                raise self._refusal(given)
            return given.convert("RGB")
        array = _with_channels_last(_as_array(given))
        if array is None or not (pixels := self._bytes(array)).size:
            raise self._refusal(given)
        grey = pixels.ndim == 2 or pixels.shape[2] == 1
        if grey:
            pixels = np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
        return Image.fromarray(np.ascontiguousarray(pixels[:, :, :3]))

    def _bytes(self, array: NDArray[Any]) -> NDArray[np.uint8]:
        """The same as bytes; empty if that can't be."""
        if array.dtype == np.uint8 or not array.size:
            return array.astype(np.uint8)
        if array.dtype == np.bool_:
            return array.astype(np.uint8) * np.uint8(255)
        least, largest = array.min(), array.max()
        if not (least >= 0 and largest <= 255):  # nor are NaNs
            return np.empty(0, np.uint8)
        if not np.issubdtype(array.dtype, np.floating):
            return array.astype(np.uint8)
        if largest > 1:
            self._largest = 255.0
        return np.rint(array.astype(np.float64) * (255 / self._largest)).astype(np.uint8)

    def _refusal(self, given: Any) -> InvalidOptionError:
        return InvalidOptionError(
            f"{self.name} can't be filmed: its render gave {in_words(given)}; {PICTURES}{NUMBERS}"
        )


def _is_several(rendered: Any) -> bool:
    if isinstance(rendered, np.ndarray):
        return rendered.ndim == 4
    if not isinstance(rendered, list | tuple):
        return False
    return not rendered or not isinstance(rendered[0], list | tuple | int | float | bool)


def _as_array(given: Any) -> NDArray[Any] | None:
    """What holds numbers as an array of them."""
    if given is None or isinstance(given, str | bytes | dict):
        return None
    try:
        array = np.asarray(given)
    except Exception:  # whatever an object of somebody else's raises
        return None
    return array if array.dtype.kind in "buif" else None


def _with_channels_last(array: NDArray[Any] | None) -> NDArray[Any] | None:
    """The array, if its shape is a picture's."""
    if array is None or array.ndim not in (2, 3):
        return None
    if array.ndim == 3 and array.shape[2] not in CHANNELS:
        return np.moveaxis(array, 0, 2) if array.shape[0] in CHANNELS else None
    return array


def in_words(given: Any) -> str:
    """What a call gave, in a few words."""
    if given is None:
        return "None"
    if isinstance(given, str | bytes):
        return f"a text of {len(given)} characters"
    if isinstance(given, Image.Image):
        return f"a picture of {given.width} x {given.height} pixels"
    array = _as_array(given)
    if array is None:
        return f"an object of type {type(given).__name__}"
    text = f"an array of shape {array.shape} and type {array.dtype}"
    return f"{text} from {array.min():g} to {array.max():g}" if array.size else text
