"""Labels of quantities: a name, and its unit in brackets where it has one, as in `load [kN]`."""

from __future__ import annotations


def split_label(label: str) -> tuple[str, str]:
    """Name and unit of a label; "" if it has no unit."""
    name, _, unit = label.partition(" [")
    return name, unit.removesuffix("]")


def name_of(label: str) -> str:
    """The name in a label."""
    return split_label(label)[0]
