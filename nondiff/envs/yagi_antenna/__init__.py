"""YagiAntenna: design directional antennas for requested bands, gains and feed resistances."""

from nondiff.gym.family import Family
from nondiff.requirements import Need

FAMILY = Family(
    environments={"nondiff/YagiAntenna-v0": ("yagi_antenna:yagi_antenna", {})},
    needs=(Need("program", "nec2c", "sudo apt-get install nec2c", ("-v",)),),
    vectorised=True,
)
