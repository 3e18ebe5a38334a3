"""The entry of the MCP registry: `server.json`, with each package that was made."""

import json

from .project import NAME, Project

SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"

ARGUMENTS = [
    {
        "type": "positional",
        "valueHint": "url",
        "description": "URL of the MCP server, or the ARN of a Bedrock AgentCore runtime or gateway",
        "isRequired": True,
        "format": "string",
    }
]


def variable(name: str, description: str, secret: bool = False) -> dict:
    return {"name": name, "description": description, "isRequired": False} | ({"isSecret": True} if secret else {})


REGION = [
    variable("AWS_REGION", "The region to sign for, if the URL does not imply it"),
    variable("AWS_SERVICE_NAME", "The service to sign for, if the URL does not imply it"),
]
ON_THIS_MACHINE = [variable("AWS_PROFILE", "The AWS profile to sign with"), *REGION]
IN_A_CONTAINER = [
    variable("AWS_ACCESS_KEY_ID", "The access key to sign with"),
    variable("AWS_SECRET_ACCESS_KEY", "Its secret", secret=True),
    variable("AWS_SESSION_TOKEN", "The session token of a temporary access key", secret=True),
    *REGION,
]


def server(project: Project, channels: set[str], pypi_version: str, bundle: str, bundle_checksum: str) -> bytes:
    """The entry, with the packages of those of the channels that the registry knows."""
    packages = []
    if "npm" in channels:
        yes = {"type": "positional", "value": "-y"}
        packages.append(package("npm", NAME, version=project.version, runtimeHint="npx", runtimeArguments=[yes]))
    if "pypi" in channels:
        packages.append(package("pypi", NAME, version=pypi_version, runtimeHint="uvx"))
    if "image" in channels:
        image = f"{project.image}:{project.version}"
        packages.append(package("oci", image, runtimeHint="docker", environmentVariables=IN_A_CONTAINER))
    if "bundle" in channels:
        packages.append(package("mcpb", project.download(bundle), fileSha256=bundle_checksum))
    entry = {
        "$schema": SCHEMA,
        "name": project.mcp_name,
        "title": "SigV4 proxy",
        "description": project.summary,
        "repository": {"url": project.repository, "source": "github"},
        "version": project.version,
        "packages": packages,
    }
    return (json.dumps(entry, indent=2) + "\n").encode()


def package(registry: str, identifier: str, **fields) -> dict:
    common = {
        "registryType": registry,
        "identifier": identifier,
        "transport": {"type": "stdio"},
        "packageArguments": ARGUMENTS,
        "environmentVariables": ON_THIS_MACHINE,
    }
    return common | fields
