"""Rayleigh waves at the surface of a layered ground: from phase velocities to shear velocities."""

from pathlib import Path

from nondiff.envs.errors import InvalidOptionError

# numba would take from it a folder of compiled functions, which it unpickles, and their settings.
_SETTINGS = Path(".numba_config.yaml")

if _SETTINGS.exists():
    raise InvalidOptionError(
        f"numba, which compiles the simulator, would take its settings from {_SETTINGS.absolute()} "
        "and run what they name: rename that file, or work in another folder"
    )
