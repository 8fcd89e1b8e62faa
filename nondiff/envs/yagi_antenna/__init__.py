"""YagiAntenna: directional antennas for requested bands, gains and feed resistances, by nec2c."""
