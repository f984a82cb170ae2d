"""`kling-codegen diff`: the changes between two trees of specs, and their effects on callers.

`models.py` compares two trees, `parameters.py` the parameters of a model, `rules.py` its rules, `python.py` its names
in Python, `gateway.py` gateway.yaml; `report.py` formats the changes, `command.py` loads both sides.
"""
