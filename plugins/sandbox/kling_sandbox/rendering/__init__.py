"""Media of jobs: real files, drawn from parameters alone."""
