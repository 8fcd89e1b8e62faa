"""How a program nobody trusts is kept from files, devices, other processes and the network."""
