"""The official Python SDK as an MCP client would use it, the proxy behind it. Arguments: the proxy, the server's URL."""

import asyncio

from checks import answer, check
from connect import transport, way
from mcp import ClientSession


async def main():
    async with transport() as (read, write):
        async with ClientSession(read, write, elicitation_callback=answer) as session:
            await session.initialize()
            await check(session)
            await session.send_ping()
    print(f"Python SDK {way}: initialize, list, call, progress, elicitation, 30 at once, ping")


asyncio.run(main())
