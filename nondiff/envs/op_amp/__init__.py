"""OpAmp: size an operational amplifier to meet a request, simulated by ngspice."""

from nondiff.gym.family import Family
from nondiff.requirements import Need

FAMILY = Family(
    environments={"nondiff/OpAmp-v0": ("op_amp:op_amp", {})},
    needs=(Need("program", "ngspice", "sudo apt-get install ngspice", ("--version",)),),
    vectorised=True,
)
