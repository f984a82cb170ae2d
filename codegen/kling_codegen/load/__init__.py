"""YAML files -> specs. Every problem of every file is reported at once, with its place.

`folder.py` reads a folder of specs, `document.py` one file with the places of its values, `reader.py` YAML itself, and
`explain.py` puts pydantic's errors into words.
"""
