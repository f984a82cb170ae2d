"""Drivers, which perform the effects of flows: a blocking and an asynchronous one."""
