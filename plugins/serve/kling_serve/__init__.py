"""A studio for kling-adapters in the browser: one Starlette application over the journal."""
