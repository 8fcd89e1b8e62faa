"""Refuses settings of numba in the working folder; imported before numba.

numba would take from them a folder of compiled functions, which it unpickles.
"""

from pathlib import Path

from nondiff.errors import InvalidOptionError

_SETTINGS = Path(".numba_config.yaml")

if _SETTINGS.exists():
    raise InvalidOptionError(
        f"numba, which compiles the simulator, would take its settings from {_SETTINGS.absolute()} "
        "and run what they name: rename that file, or work in another folder"
    )
