"""The plugins of the core, found through the same entry points as any other."""
