"""A documentation page, copied as text from the browser -> a draft spec and a list of doubts.

`page` reads either layout into the same blocks, `nesting` finds which of them belong to a list of objects, `values`
splits what is run together, `prose` finds limits and rules in descriptions, `groups` those about several parameters at once, `compose` puts the
spec together.
"""
