"""`kling-codegen draft`: a draft spec, with a list of doubts, from a documentation page copied as text.

`page.py` reads the facts of a page: `blocks.py` its parameters in either layout, `example_code.py` its example.
`nesting.py` finds the blocks that belong to a list of objects; `table.py` turns blocks into schemas, with the values
that `values.py` and `digits.py` split, and the limits and rules that `prose.py`, `groups.py` and `conditional.py` find
in descriptions, whose names `parameters.py` resolves.
`compose.py` puts the spec together, and `write.py` writes it.

`compare.py` compares a page with an existing spec: `evidence.py` is the spec as the evidence of a reading, `fill.py`
takes from it what no page states, and `renames.py` finds parameters that have another name.
"""
