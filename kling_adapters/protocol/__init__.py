"""The protocol of the gateway as generators of effects: no I/O, no clock, no async."""
