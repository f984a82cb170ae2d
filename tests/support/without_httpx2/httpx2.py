"""Hides httpx2 from every process that has this folder in PYTHONPATH, as `make plain` does."""

raise ImportError("httpx2 is hidden: these tests run on httpx")
