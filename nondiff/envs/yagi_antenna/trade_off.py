"""The best gains of five rods by frequency, bandwidth and feed resistance.

Computed by benchmarks/yagi_trade_off.py.
"""

from __future__ import annotations

FREQUENCIES = (100.0, 212.0, 450.0)  # [MHz]
BANDWIDTHS = (0.01, 0.03, 0.05, 0.07)  # share of the frequency
RESISTANCES = (30.0, 47.4, 75.0)  # [ohm]

# Minimum gains over the band [dBi], by frequency, bandwidth and resistance.
BEST_GAINS = (
    ((11.78, 11.51, 11.43), (11.36, 11.29, 10.95), (10.3, 10.82, 10.44), (9.66, 9.87, 9.91)),
    ((11.92, 11.52, 11.44), (11.42, 11.35, 11.03), (10.78, 10.96, 10.6), (9.83, 10.34, 10.17)),
    ((11.96, 11.53, 11.46), (11.46, 11.38, 11.06), (11.18, 11.14, 10.7), (10.22, 10.66, 10.33)),
)
