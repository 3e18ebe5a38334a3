"""The official Python client, which begins with `server/discover`. On stdio it stands before a cold server. Arguments: the
proxy, the server's URL."""

import asyncio
import time

from connect import transport, way
from mcp.client.client import Client


async def main():
    started = time.monotonic()
    async with Client(transport("--lazy"), mode="auto") as client:
        took = round((time.monotonic() - started) * 1000)
        assert took < 1000, f"connected after {took} ms"
        listed = await client.list_tools()
        assert any(tool.name == "add" for tool in listed.tools), listed
        result = await client.call_tool("add", {"a": 2, "b": 3})
        assert result.content[0].text == "5", result
    print(f"Python SDK {way}: discover and initialize in {took} ms, list, call")


asyncio.run(main())
