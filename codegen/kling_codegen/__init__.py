"""Compiler of the specs of models to the typed adapters of kling-adapters."""
