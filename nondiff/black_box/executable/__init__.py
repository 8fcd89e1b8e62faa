"""Wrap a program of your own as a black box, in about ten lines."""

from nondiff.black_box.executable.executable import Executable
from nondiff.black_box.executable.expressions import Last
from nondiff.black_box.executable.quantities import Quantity

__all__ = ["Executable", "Last", "Quantity"]
