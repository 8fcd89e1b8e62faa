"""Refuse a numba settings file in the working folder; import this module before numba.

The file can name a cache folder of compiled functions, which numba unpickles.
"""

from pathlib import Path

from nondiff.errors import InvalidOptionError

_SETTINGS = Path(".numba_config.yaml")

if _SETTINGS.exists():
    raise InvalidOptionError(
        f"numba, which compiles the simulator, would take its settings from {_SETTINGS.absolute()} "
        "and run what they name: rename that file, or work in another folder"
    )
