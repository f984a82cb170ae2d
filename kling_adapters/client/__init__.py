"""The clients, and the jobs they return."""
