"""The documentation site: `make docs` builds it into out/docs.

| module | content |
|---|---|
| `navigation` | the parts and pages of docs/index.md |
| `reference` | the generated pages, made by `python_api`, `command_help`, `spec_keys` and `error_pages` |
| `staging` | the sources of Sphinx: pages of the repository, generated pages, and the files to which they link |
| `site` | Sphinx, the Markdown twins of the pages, and llms.txt |
"""
