"""Scenarios of the game Doom, played from the screen's pixels through its controls."""
