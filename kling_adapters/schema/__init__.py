"""Base classes, rules and tables for generated code."""
