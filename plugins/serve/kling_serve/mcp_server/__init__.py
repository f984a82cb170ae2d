"""Models as tools of the Model Context Protocol, for agents. It needs the extra `mcp`."""
