"""Built-in plugins; `plugins.discovery` lists them."""
