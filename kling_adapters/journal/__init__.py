"""The journal of submits and of the outcomes of their jobs."""
