"""THE table of environment families: one line per package.

The `__init__` of each package declares its environments and their dependencies.
"""

from __future__ import annotations

if __name__ != "nondiff.envs":
    raise ImportError(
        f"{__name__!r} is a link in the checkout, not a package: use 'import nondiff.envs'"
    )

from importlib import import_module

import gymnasium

from nondiff.gym.family import Family
from nondiff.requirements import Need, add_needs

FAMILIES = (
    "nondiff.envs.arm",
    "nondiff.envs.surface_waves",
    "nondiff.envs.doom",
    "nondiff.envs.op_amp",
    "nondiff.envs.yagi_antenna",
)

# By id, as the families declare them: entry points with default arguments, and dependencies.
ENVIRONMENTS: dict[str, tuple[str, dict[str, object]]] = {}
_NEEDS: dict[str, tuple[Need, ...]] = {}


def register_family(package: str) -> None:
    """Register the environments that a package declares in its `FAMILY`."""
    family: Family = import_module(package).FAMILY
    add_needs(family.needs)
    for env_id, (place, arguments) in family.environments.items():
        entry_point = f"{package}.{place}"
        ENVIRONMENTS[env_id] = entry_point, dict(arguments)
        _NEEDS[env_id] = family.needs
        gymnasium.register(
            env_id,
            entry_point=entry_point,
            vector_entry_point=family.vector_entry_point(entry_point),
            kwargs=dict(arguments),
        )


def needs_of(env_id: str) -> tuple[Need, ...]:
    """The known dependencies of a registered environment."""
    return _NEEDS.get(env_id, ())


for _package in FAMILIES:
    register_family(_package)
