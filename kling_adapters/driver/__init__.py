"""The only place where flows meet the world: one driver that blocks and one that is awaited."""
