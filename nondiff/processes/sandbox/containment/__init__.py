"""Isolate an untrusted program from files, devices, other processes and the network."""
