"""The journal: what was submitted, and what came of it."""
