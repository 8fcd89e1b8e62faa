"""OpAmp: the sizes of an operational amplifier for a request, by ngspice."""
