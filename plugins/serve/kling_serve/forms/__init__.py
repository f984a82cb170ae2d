"""Forms from the packaged schemas of models, and parameters from what browsers send."""
