"""matplotlib as nondiff draws with it: no window, no settings of the working folder's, no formulas.

matplotlib takes settings from a file `matplotlibrc` of the working folder, which may have texts set
by a program; and a `$` in the name of a run would begin a formula.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib

matplotlib.use("Agg")  # a picture is written, no window opened
from matplotlib import pyplot as pyplot

PLAIN: Any = {"text.parse_math": False, "axes.formatter.use_mathtext": False}


@contextmanager
def drawn_plainly(style: Any = None) -> Iterator[None]:
    """Draw with matplotlib's own settings and a style, whatever a file says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(PLAIN)
        matplotlib.rcParams.update(style or {})
        yield
