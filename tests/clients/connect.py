"""How a client reaches the proxy: it starts it, or, where LISTENER names the URL of one that listens, it connects to it with
the token in TOKEN."""

import os
import sys
from contextlib import asynccontextmanager

from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

listener = os.environ.get("LISTENER")
way = "over HTTP" if listener else "on stdio"


@asynccontextmanager
async def transport(*more):
    if listener:
        headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
        async with create_mcp_http_client(headers=headers) as http_client:
            async with streamable_http_client(listener, http_client=http_client) as streams:
                yield streams
        return
    command, url = sys.argv[1:]
    parameters = StdioServerParameters(
        command=command,
        args=[url, "--region", "us-east-1", "--service-name", "execute-api", *more],
        env={
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        },
    )
    async with stdio_client(parameters) as streams:
        yield streams
