"""Discovery of plugins, and calls of their hooks."""
