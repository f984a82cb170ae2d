"""Loading of specs from YAML files. All problems of all files are reported at once, with their places.

`folder.py` reads a folder of specs, `document.py` one file with the places of its values, `reader.py` YAML itself, and
`explain.py` explains the errors of pydantic.
"""
