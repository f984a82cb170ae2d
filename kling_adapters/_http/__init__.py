"""Connections to the gateway and to outputs; the only package that imports httpx."""
