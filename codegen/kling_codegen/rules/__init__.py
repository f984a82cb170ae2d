"""Conditions between parameters: the rules of a spec.

`kinds/` has one module for each kind of rule, with all that the compiler knows of it; `condition.py` is the interface
of a kind, `rule.py` the entry of a spec that holds one condition.
"""
