"""Media types, and media on this machine."""
