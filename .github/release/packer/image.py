"""The container image for all architectures: an OCI layout in a tar file, made without an engine, pushed by skopeo."""

import json
from datetime import datetime, timezone

from .archives import Entry, gzipped, sha256, tar
from .binaries import Binary
from .project import HERE, NAME, Project

FILE = "sigv4-proxy-image.tar"
OCI = "application/vnd.oci.image"


def contexts(project: Project, binaries: list[Binary]) -> dict[str, Entry]:
    """The folder from which `docker build` makes the same image."""
    files = {"Dockerfile": Entry("Dockerfile", dockerfile(project))}
    files |= {name: Entry(name, data) for name, data in project.licenses().items()}
    for binary in on_images(binaries):
        path = f"{binary.platform.image_arch}/{NAME}"
        files[path] = Entry(path, binary.data, executable=True)
    return files


def dockerfile(project: Project) -> bytes:
    text = (HERE / "container/Dockerfile").read_text(encoding="utf-8")
    return text.replace("MCP_NAME", project.mcp_name).encode()


def layout(project: Project, binaries: list[Binary]) -> bytes | None:
    """The image, or `None` without a binary that runs in it."""
    blobs: dict[str, bytes] = {}

    def blob(kind: str, data: bytes, **more) -> dict:
        blobs[f"blobs/sha256/{sha256(data)}"] = data
        return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{sha256(data)}", "size": len(data)} | more

    created = datetime.fromtimestamp(project.date, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {
        "io.modelcontextprotocol.server.name": project.mcp_name,
        "org.opencontainers.image.created": created,
        "org.opencontainers.image.description": project.summary,
        "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
        "org.opencontainers.image.source": project.repository,
        "org.opencontainers.image.title": NAME,
        "org.opencontainers.image.version": project.version,
    }
    manifests = []
    for binary in on_images(binaries):
        platform = {"architecture": binary.platform.image_arch, "os": "linux"}
        files = [Entry(NAME, binary.data, executable=True)]
        files += [Entry(name, data) for name, data in project.licenses().items()]
        layer = tar(files, project.date)
        config = platform | {
            "created": created,
            # HOME: so that a mounted ~/.aws has a place, and one name in all instructions.
            "config": {"Entrypoint": [f"/{NAME}"], "User": "1000:1000", "Env": ["HOME=/home/app"], "Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer)}"]},
            "history": [{"created": created, "created_by": f"COPY {NAME} LICENSE THIRD-PARTY.txt /"}],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": blob("config.v1+json", compact(config)),
            "layers": [blob("layer.v1.tar+gzip", gzipped(layer))],
            "annotations": labels,
        }
        manifests.append(blob("manifest.v1+json", compact(manifest), platform=platform))
    if not manifests:
        return None
    index = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.index.v1+json",
        "manifests": manifests,
        "annotations": labels,
    }
    name = {
        "io.containerd.image.name": f"{project.image}:{project.version}",
        "org.opencontainers.image.ref.name": project.version,
    }
    root = {"schemaVersion": 2, "manifests": [blob("index.v1+json", compact(index), annotations=name)]}
    entries = [Entry(path, data) for path, data in blobs.items()]
    entries += [Entry("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), Entry("index.json", compact(root))]
    return tar(entries, project.date)


def on_images(binaries: list[Binary]) -> list[Binary]:
    return [binary for binary in binaries if binary.platform.image_arch]


def compact(value: dict) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
