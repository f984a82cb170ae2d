"""The OpenAPI 3.1 document of a sandbox, from the schemas of its models and the gateway's table of errors."""
