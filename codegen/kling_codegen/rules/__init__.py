"""Conditions between parameters: the rules of a spec.

`kinds/` has one module for each kind of rule, complete for the compiler; `condition.py` is the interface
of a kind, `rule.py` the entry of a spec that holds one condition.
"""
