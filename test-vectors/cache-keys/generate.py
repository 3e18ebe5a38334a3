"""Writes random arguments of cached credentials and the names that botocore gives their files:

    pip install botocore; python generate.py > botocore.jsonl
"""

import json
import random

from botocore.credentials import AssumeRoleCredentialFetcher, SSOCredentialFetcher

ALPHABET = [chr(code) for code in range(0x20, 0x7F)] + list(
    '\n\r\t\b\f\0\x1f\x7f\x80üßé–€\u2028\ufeff\uffff日😀𝒳\U0010ffff"\\/:'
)


def text(longest=12):
    return "".join(random.choice(ALPHABET) for _ in range(random.randint(1, longest)))


def role():
    extra = {
        name: text()
        for name in ("RoleSessionName", "ExternalId", "SerialNumber")
        if random.random() < 0.5
    }
    if random.random() < 0.5:
        extra["DurationSeconds"] = random.choice([900, 3600, 43200, random.randint(0, 2**32 - 1)])
    arn = "arn:aws:iam::111122223333:role/" + text(20)
    fetcher = AssumeRoleCredentialFetcher(None, None, arn, extra_args=extra)
    return {"spaced": dict(extra, RoleArn=arn), "key": fetcher._create_cache_key()}


def sso():
    arguments = {"accountId": text(), "roleName": text()}
    start_url, session = "u", None
    if random.random() < 0.5:
        arguments["sessionName"] = session = text()
    else:
        arguments["startUrl"] = start_url = text(20)
    fetcher = SSOCredentialFetcher(
        start_url,
        "us-east-1",
        arguments["roleName"],
        arguments["accountId"],
        None,
        sso_session_name=session,
    )
    return {"compact": arguments, "key": fetcher._create_cache_key()}


random.seed(7636)
for _ in range(500):
    row = role() if random.random() < 0.7 else sso()
    print(json.dumps(row, sort_keys=True))
