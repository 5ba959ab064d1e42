"""An MCP server with a few functions: over its standard input, or with a port over HTTP."""

from __future__ import annotations

import sys

from mcp.server import MCPServer

app = MCPServer("numbers", log_level="ERROR")


@app.tool()
def add(x: float, y: float) -> float:
    """Add two numbers."""
    return x + y


@app.tool()
def half(x: int) -> str:
    """Halve an even number."""
    if x % 2:
        raise ValueError("it is odd")
    return str(x // 2)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        app.run("streamable-http", port=int(sys.argv[1]))
    else:
        app.run("stdio")
