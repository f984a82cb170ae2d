"""`kling-codegen lint`: findings about valid specs that are probably wrong or odd.

`command.py` runs the checks and applies the silences of a spec; `parameters.py` walks the parameters, `descriptions.py`
compares their descriptions with the schema and the rules, `schemas.py` checks the schemas themselves, and
`documents.py` the other parts of a spec.
"""
