"""Run the antenna program nec2c: write its input cards, and parse its output.

NEC-2 solves for the currents on thin wires by the method of moments (Burke and Poggio 1981,
"Numerical Electromagnetics Code (NEC)", UCID-18834; cards and output: part III, the user's guide).
Its exit code says little, so this module checks the input beforehand and the output afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nondiff.processes.sandbox import CallFailed, Limits, run_once

Array = NDArray[np.float64]

LIGHT = 299.792458  # speed of light [m MHz]
VACUUM_IMPEDANCE = 376.730313668  # [ohm]
CARDS, OUTPUT = "antenna.nec", "antenna.out"  # file names
LIMITS = Limits(timeout=10.0, memory=256 * 2**20, file_size=2**20)
THINNEST_SEGMENT = 4.0  # minimum ratio of its length to the wire's radius; the guide asks for 8
MAX_SEGMENT = 0.1  # [wavelengths]; section II.1 of the guide
GAINS = (-50.0, 30.0)  # [dBi], range of physically possible gains
IMPEDANCES = 1e5  # [ohm], maximum resistance or reactance
NEARNESS = 1e-3  # relative tolerance of frequencies in the output, which has five digits


@dataclass(frozen=True)
class Rods:
    """Parallel straight rods in a plane, one of them fed at its centre.

    Args:
        lengths: (rods,) [m].
        positions: (rods,) along the boom, increasing [m].
        driven: index of the fed rod.
        radius: radius of every rod [m].
        segments: number of segments per rod, odd.
    """

    lengths: Array
    positions: Array
    driven: int
    radius: float
    segments: int


@dataclass(frozen=True)
class Answer:
    """The results of nec2c at k frequencies.

    Args:
        impedance: (k,) complex impedance of the feed [ohm].
        gain: (k,) gain along the boom [dBi].
    """

    impedance: NDArray[np.complex128]
    gain: Array


def cards(rods: Rods, frequencies: Array) -> str:
    """Write the input deck for evenly spaced frequencies (k,) [MHz].

    Raises:
        CallFailed: invalid input, such as rods that touch or of length 0, on which nec2c hangs.
    """
    check(rods, frequencies)
    deck = ["CE"]
    places = zip(rods.lengths / 2, rods.positions, strict=True)
    for tag, (half, x) in enumerate(places, start=1):
        wire = f"{x:.9g} {-half:.9g} 0 {x:.9g} {half:.9g} 0 {rods.radius:.9g}"
        deck.append(f"GW {tag} {rods.segments} {wire}")
    step = frequencies[1] - frequencies[0] if len(frequencies) > 1 else 0.0
    deck += [
        "GE 0",
        "PT -1",  # no list of currents
        f"FR 0 {len(frequencies)} 0 0 {frequencies[0]:.9g} {step:.9g}",
        f"EX 0 {rods.driven + 1} {(rods.segments + 1) // 2} 0 1 0",
        "RP 0 1 1 1000 90 0 0 0",  # along x
        "EN",
    ]
    return "\n".join(deck) + "\n"


def check(rods: Rods, frequencies: Array) -> None:
    """Reject rods on which nec2c fails, or silently gives wrong results.

    Raises:
        CallFailed: invalid input; the message says why.
    """
    numbers = np.concatenate([rods.lengths, rods.positions, [rods.radius], frequencies])
    if not np.isfinite(numbers).all():
        raise CallFailed("invalid input", "a length, a position or a frequency is not finite")
    if frequencies.min() <= 0 or rods.radius <= 0:
        raise CallFailed("invalid input", "frequencies and the radius must be above 0")
    segment = rods.lengths / rods.segments
    if segment.min() < THINNEST_SEGMENT * rods.radius:
        raise CallFailed(
            "invalid input", f"a rod of {rods.lengths.min():.4g} m is too short for its segments"
        )
    if segment.max() > MAX_SEGMENT * LIGHT / frequencies.max():
        raise CallFailed(
            "invalid input", f"a rod of {rods.lengths.max():.4g} m is too long for its segments"
        )
    if len(rods.positions) > 1 and np.diff(rods.positions).min() <= 4 * rods.radius:
        raise CallFailed("invalid input", "two rods touch or cross")


def solve(deck: str, frequencies: Array, program: str, limits: Limits = LIMITS) -> Answer:
    """Run nec2c on a deck for frequencies (k,) [MHz].

    Raises:
        CallFailed: a start failure, a timeout, a crash or invalid output.
    """
    command = (program, "-i", CARDS, "-o", OUTPUT)
    output = run_once(command, files={CARDS: deck}, reads=(OUTPUT,), limits=limits)
    return parse(output.files[OUTPUT], frequencies)


def parse(text: str, frequencies: Array) -> Answer:
    """Parse an output file; the gain comes from the electric field, printed with more digits.

    Raises:
        CallFailed: invalid output: a frequency is missing, or a number is impossible.
    """
    found: dict[str, list[tuple[float, ...]]] = {"frequency": [], "feed": [], "field": []}
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if "FREQUENCY :" in line:
            found["frequency"].append((_numbers(line.split(":")[1].removesuffix("MHz"), 1)[0],))
        elif "ANTENNA INPUT PARAMETERS" in line:
            feed = _numbers(_line(lines, number + 3), 11)
            found["feed"].append((feed[6], feed[7], feed[10]))
        elif "RADIATION PATTERNS" in line:
            words = _line(lines, number + 5).split()
            pattern = _numbers(" ".join(words[:7] + words[8:]), 11)  # without the polarisation
            found["field"].append((pattern[4], pattern[7], pattern[9]))
    for name, rows in found.items():
        if len(rows) != len(frequencies):
            raise CallFailed(
                "invalid output", f"{len(rows)} of {len(frequencies)} frequencies have a {name}"
            )
    parts = {name: np.array(rows) for name, rows in found.items()}
    if not np.allclose(parts["frequency"][:, 0], frequencies, rtol=NEARNESS, atol=0):
        raise CallFailed("invalid output", "it answers for other frequencies")
    return _in_range(parts["feed"], parts["field"])


def _line(lines: list[str], number: int) -> str:
    return lines[number] if number < len(lines) else ""


def _numbers(text: str, count: int) -> list[float]:
    """Parse the numbers of a table row.

    Raises:
        CallFailed: invalid output: not exactly `count` numbers.
    """
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise CallFailed("invalid output", f"{text.strip()!r} are not {count} numbers")
    return numbers


def _in_range(feed: Array, field: Array) -> Answer:
    """Make the answer from the feed table (k, 3) and the field table (k, 3), after checks.

    Args:
        feed: (k, 3) resistance [ohm], reactance [ohm] and input power [W].
        field: (k, 3) gain [dBi] and the two components of the electric field [V/m].

    Raises:
        CallFailed: invalid output: a physically impossible number.
    """
    resistance, reactance, power = feed.T
    printed = field[:, 0]
    if not ((printed >= GAINS[0]) & (printed <= GAINS[1])).all():
        raise CallFailed("invalid output", f"a gain of {printed.min():.2f} dBi is impossible")
    if not ((resistance > 0) & (resistance < IMPEDANCES) & (power > 0)).all():
        raise CallFailed("invalid output", f"a resistance of {resistance.min()} ohm is impossible")
    if not (np.abs(reactance) < IMPEDANCES).all():
        raise CallFailed("invalid output", f"a reactance of {reactance} ohm is impossible")
    # The field is normalised to a distance of 1 m: G = 4 pi U / P with U = E^2 / (2 eta).
    squared = (field[:, 1:] ** 2).sum(axis=1)
    with np.errstate(divide="ignore"):
        gain = 10 * np.log10(2 * np.pi * squared / (VACUUM_IMPEDANCE * power))
    if not (np.abs(gain - printed) < 0.02).all():
        raise CallFailed("invalid output", f"gains of {printed} dBi, but fields of {gain} dBi")
    return Answer(resistance + 1j * reactance, gain)
