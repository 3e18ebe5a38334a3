"""The official Python client without an SSO token; `sign_in.mjs` starts it. Arguments: the server's URL, the proxy and its arguments."""

import asyncio
import os
import sys
import urllib.request

from mcp import types
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

center, command, *args = sys.argv[1:]


async def sign_in(context, params):
    assert params.mode == "url" and "ABCD-EFGH" in params.url and "ABCD-EFGH" in params.message, params
    urllib.request.urlopen(f"{center}/approve").close()
    return types.ElicitResult(action="accept")


async def main():
    names = ["HOME", "AWS_ENDPOINT_URL_SSO", "AWS_ENDPOINT_URL_SSO_OIDC"]
    parameters = StdioServerParameters(command=command, args=args, env={name: os.environ[name] for name in names})
    async with Client(stdio_client(parameters), mode="auto", elicitation_callback=sign_in) as client:
        listed = await client.list_tools()
        assert [tool.name for tool in listed.tools] == ["aws_sign_in"], listed
        result = await client.call_tool("add", {"a": 2, "b": 3})
        assert result.content[0].text == "5", result


asyncio.run(main())
