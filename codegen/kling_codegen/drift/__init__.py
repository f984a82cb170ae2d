"""`kling-codegen drift`: what has changed at the gateway since the specs were written.

`model_list.py` reads the gateway's list of models, which `fetch.py` gets from a file or a URL; `models.py` compares
it with the specs and catalogue.yaml. `pages.py` compares copies of documentation pages with the specs of their models,
and `spec_diff.py` shows a change as lines of a spec. `report.py` writes all of it as Markdown, and `command.py` is the
command.
"""
