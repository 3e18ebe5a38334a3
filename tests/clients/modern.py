"""The official Python client, which speaks MCP 2026-07-28 alone, before a server of earlier revisions. Arguments: the proxy, the
server's URL."""

import asyncio

from checks import answer, check
from connect import transport, way
from mcp.client.client import Client


async def main():
    ways = transport("--bridge", "always")
    async with Client(ways, mode="2026-07-28", elicitation_callback=answer) as client:
        await check(client)
    print(f"Python SDK {way}, 2026-07-28: list, call, progress, elicitation, 30 at once")


asyncio.run(main())
