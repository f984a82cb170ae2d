"""The OpenAPI document."""

ROUTES = []
