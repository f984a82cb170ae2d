"""The kinds of rules: each module is one, named after its key in a spec, with one class named after the module."""
