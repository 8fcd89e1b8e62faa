"""The circuit: a two-stage Miller op-amp with generic transistor models.

The topology is that of Allen and Holberg, CMOS Analog Circuit Design (2002), section 6.3, and of
AutoCkt (Settaluri et al. 2020, arXiv:2001.01808), figure 5: an NMOS pair (m1, m2) with a mirror
(m3, m4) as its load and a tail (m5); a PMOS driver (m6) with a sink (m7); a diode (m8) that sets
the currents of tail and sink; and the compensation capacitor. The models are Level 1 (Shichman and
Hodges 1968), with round numbers typical of a 0.5 um process, not those of a foundry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

SUPPLY = 2.5  # [V]
COMMON_MODE = 1.25  # [V] at the inputs
BIAS_CURRENT = 10e-6  # [A] into the diode m8
LOAD = 4e-12  # [F] at the output
LENGTH = 0.5e-6  # [m] of every channel
DRAIN = 1.0e-6  # [m] length of drain and source diffusions


@dataclass(frozen=True)
class Size:
    """The unit and the bounds of a design variable: a width [m] or a capacitance [F]."""

    unit: str
    least: float
    most: float


SIZES = {
    "input": Size("m", 2e-6, 100e-6),  # width of m1 and m2
    "mirror": Size("m", 2e-6, 100e-6),  # of m3 and m4
    "tail": Size("m", 2e-6, 100e-6),  # of m5
    "driver": Size("m", 5e-6, 500e-6),  # of m6
    "sink": Size("m", 2e-6, 200e-6),  # of m7
    "diode": Size("m", 2e-6, 50e-6),  # of m8
    "miller": Size("F", 0.3e-12, 6e-12),  # the compensation capacitor
}
CENTRE = tuple(math.sqrt(size.least * size.most) for size in SIZES.values())

NMOS = (
    "level=1 vto=0.6 kp=120u lambda=0.12 gamma=0.45 phi=0.8 tox=10n cgso=0.3n cgdo=0.3n cgbo=0.2n "
    "cj=0.5m cjsw=0.3n mj=0.4 mjsw=0.3 pb=0.8"
)
PMOS = (
    "level=1 vto=-0.7 kp=40u lambda=0.15 gamma=0.40 phi=0.8 tox=10n cgso=0.3n cgdo=0.3n cgbo=0.2n "
    "cj=0.6m cjsw=0.35n mj=0.45 mjsw=0.3 pb=0.9"
)
FIRST_FREQUENCY, LAST_FREQUENCY = 1.0, 10e9  # [Hz] of the analysis
PER_DECADE = 20  # frequencies per decade

# Tight tolerances, so that specs are smooth in the sizes and Kirchhoff's laws hold.
OPTIONS = "reltol=1e-6 abstol=1e-14 vntol=1e-9"
# [V] initial guess of Newton's method; without it one design in ten needs gmin stepping.
NODESET = {
    "out": COMMON_MODE,
    "fb": COMMON_MODE,
    "inn": COMMON_MODE,
    "d1": 1.6,
    "d2": 1.6,
    "nt": 0.4,
    "nb": 0.8,
}


def circuit(sizes: Sequence[float]) -> str:
    """Write the netlist for sizes (7,), in the order and units of `SIZES`.

    A huge inductor and capacitor feed the output back to the inverting input at DC only. So the
    amplifier is at its operating point whatever its offset, and open-loop in the AC analysis.
    """
    values = " ".join(f"{name}={float(value)!r}" for name, value in zip(SIZES, sizes, strict=True))
    nodes = " ".join(f"v({node})={volt}" for node, volt in NODESET.items())
    return f"""two-stage op-amp
.param {values}
.model nch nmos {NMOS}
.model pch pmos {PMOS}
vdd vdd 0 {SUPPLY}
vin inp 0 dc {COMMON_MODE} ac 1
ibias vdd nb {BIAS_CURRENT}
{_transistor("m1", "d1 inn nt 0", "nch", "input")}
{_transistor("m2", "d2 inp nt 0", "nch", "input")}
{_transistor("m3", "d1 d1 vdd vdd", "pch", "mirror")}
{_transistor("m4", "d2 d1 vdd vdd", "pch", "mirror")}
{_transistor("m5", "nt nb 0 0", "nch", "tail")}
{_transistor("m6", "out d2 vdd vdd", "pch", "driver")}
{_transistor("m7", "out nb 0 0", "nch", "sink")}
{_transistor("m8", "nb nb 0 0", "nch", "diode")}
cc d2 out {{miller}}
cl out 0 {LOAD}
efb fb 0 out 0 1
lfb fb inn 1e9
cfb inn 0 1e9
.nodeset {nodes}
.options {OPTIONS}
.end
"""


def _transistor(name: str, nodes: str, model: str, width: str) -> str:
    area, rim = f"{{{width}*{DRAIN}}}", f"{{2*({width}+{DRAIN})}}"
    return f"{name} {nodes} {model} w={{{width}}} l={LENGTH} ad={area} as={area} pd={rim} ps={rim}"
