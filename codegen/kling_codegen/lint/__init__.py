"""`kling-codegen lint`: what is legal in a spec, but wrong or odd.

`command.py` runs the checks and applies the silences of a spec; `parameters.py` walks the parameters, `descriptions.py`
compares their descriptions with the schema and the rules, `schemas.py` checks the schemas themselves, and
`documents.py` everything beside the parameters.
"""
