"""`kling-codegen diff`: two trees of specs -> the changes, and the effect of each on the callers of the models.

`models.py` compares two trees, `parameters.py` the parameters of a model, `rules.py` its rules, `python.py` its names in
Python, `gateway.py` gateway.yaml; `report.py` formats the changes, `command.py` loads both sides.
"""
