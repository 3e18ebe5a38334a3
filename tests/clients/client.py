"""The official Python SDK as an MCP client would use it, the proxy behind it. Arguments: the proxy, the server's URL."""

import asyncio

from connect import transport, way
from mcp import ClientSession, types

questions = 0


async def answer(context, params):
    global questions
    questions += 1
    assert params.message == "What is your name?", params
    return types.ElicitResult(action="accept", content={"name": "Ada"})


def text(result):
    return result.content[0].text


async def main():
    async with transport() as (read, write):
        async with ClientSession(read, write, elicitation_callback=answer) as session:
            await session.initialize()
            listed = await session.list_tools()
            assert any(tool.name == "add" for tool in listed.tools), listed
            assert text(await session.call_tool("add", {"a": 2, "b": 3})) == "5"

            progress = []

            async def report(number, total, message):
                progress.append(number)

            counted = await session.call_tool("count", {"to": 4, "delay_ms": 20}, progress_callback=report)
            assert text(counted) == "counted to 4", counted
            assert progress == [1, 2, 3, 4], progress

            assert "Ada" in text(await session.call_tool("ask", {}))
            assert questions == 1

            calls = [session.call_tool("add", {"a": n, "b": 1000}) for n in range(30)]
            assert [text(result) for result in await asyncio.gather(*calls)] == [str(n + 1000) for n in range(30)]
            await session.send_ping()
    print(f"Python SDK {way}: initialize, list, call, progress, elicitation, 30 at once, ping")


asyncio.run(main())
