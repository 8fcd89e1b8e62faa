"""OpAmp: the sizes of an operational amplifier for a request, by ngspice."""

from nondiff.gym.family import Family
from nondiff.requirements import Need

FAMILY = Family(
    environments={"nondiff/OpAmp-v0": ("op_amp:op_amp", {})},
    needs=(Need("program", "ngspice", "sudo apt-get install ngspice", ("--version",)),),
    vectorised=True,
)
