"""What a Python client is put through: a list, calls, progress, a question of the server, 30 calls at once."""

import asyncio

from mcp import types

questions = 0


async def answer(context, params):
    global questions
    questions += 1
    assert params.message == "What is your name?", params
    return types.ElicitResult(action="accept", content={"name": "Ada"})


def text(result):
    return result.content[0].text


async def check(client):
    """`client` answers questions with `answer`."""
    listed = await client.list_tools()
    assert any(tool.name == "add" for tool in listed.tools), listed
    assert text(await client.call_tool("add", {"a": 2, "b": 3})) == "5"

    progress = []

    async def report(number, total, message):
        progress.append(number)

    counted = await client.call_tool("count", {"to": 4, "delay_ms": 20}, progress_callback=report)
    assert text(counted) == "counted to 4", counted
    assert progress == [1, 2, 3, 4], progress

    assert "Ada" in text(await client.call_tool("ask", {}))
    assert questions == 1

    calls = [client.call_tool("add", {"a": n, "b": 1000}) for n in range(30)]
    assert [text(result) for result in await asyncio.gather(*calls)] == [str(n + 1000) for n in range(30)]
