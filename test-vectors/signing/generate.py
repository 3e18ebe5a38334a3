"""Makes signing vectors: random requests, each signed by botocore and by awscrt, and kept if they agree.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install botocore awscrt cryptography
    /tmp/venv/bin/python generate.py 1 150 20 > generated.jsonl
    /tmp/venv/bin/python generate.py 2 30 6 s3-outposts s3-object-lambda s3express > generated-s3.jsonl

The arguments are a seed, the numbers of SigV4 and SigV4a vectors, and the services (default: SERVICES). The same
arguments make the same lines while the two libraries agree on the same requests; the files were made with
botocore 1.44.8 and awscrt 0.38.1. Requests on which they disagree go to standard error, one per line, with botocore's
canonical request: decisions.jsonl has such.

A vector states no rule that follows from its service, so it tests the service's rule, too. A service with a rule of its
own must be added to S3_FAMILY, or its rule to `complete`, which signs with botocore, and to `sign_with_crt`.

SigV4: both must come to the same signature; the canonical request, which awscrt does not show, is botocore's.
SigV4a: botocore has no signer of its own, so the canonical request is the one that its SigV4 signer makes with the
header X-Amz-Region-Set, the key is derived below, and awscrt's signature must verify with that key. awscrt picks its
nonces at random, so the signature written is made with the same key and the nonce of RFC 6979, by `cryptography`.

Not tried, since decisions.jsonl has them: characters that may not stand in a URL, queries that are not encoded as
SigV4 would (awscrt encodes them again, botocore does not), and dot segments for S3, at the end of a path or next to
empty ones (the proxy resolves dot segments as URLs do before it sends, and signs the result).
"""

import base64, datetime, hashlib, hmac, io, json, random, string, sys
from types import SimpleNamespace
from awscrt import auth as crt
from awscrt.http import HttpHeaders, HttpRequest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
REGIONS = ["us-east-1", "us-west-2", "eu-central-1", "ap-southeast-2", "sa-east-1", "us-gov-west-1", "cn-north-1"]
S3_FAMILY = ["s3", "s3-outposts", "s3-object-lambda", "s3express"]
SERVICES = ["execute-api", "bedrock-agentcore", "lambda", "aws-mcp", "appsync", "es", "s3", "s3"]
SEGMENTS = ["mcp", "a", "B", "x.y", "~", "-_", ".", "..", "", "%20", "%2F", "%2f", "%7E", "%C3%A9", "%25", "a%3Ab",
            "arn%3Aaws%3Alambda%3A%3A1", "a:b", "a@b", "a+b", "a=b", "a,b", "a;b", "a&b", "(a)", "a!", "$a", "a*", "a'b"]
TEXTS = ["", "1", "2", "a", "A", "b", "a-b", "a.b", "_", "~", "%20", "%2F", "%3D", "%26", "%C3%A9", "%E1%88%B4", "%25",
         "%2B", "a%2Cb", "tools", "10"]
HEADERS = ["accept", "Content-Type", "mcp-session-id", "Mcp-Protocol-Version", "last-event-id", "user-agent", "x-a",
           "X-A", "x-a-b", "x_b", "X-Amz-Target", "x-amz-meta-z", "cookie", "range"]
VALUES = ["application/json", "application/json, text/event-stream", "a  b", "  a", "a   ", "  a   b  c ", "", "1",
          'k=v; k2="v  2"', "a,b", "a:b", "z", "2025-11-25", "bytes=0-9"]

def word(rng, length, alphabet=string.ascii_uppercase + string.digits):
    return "".join(rng.choice(alphabet) for _ in range(length))

def random_request(rng, services, v4a):
    service, host = rng.choice(services), rng.choice(["api.example.com", "api.example.com:8443", "a-1.b.example.com"])
    s3, no_dots = service in S3_FAMILY, [segment for segment in SEGMENTS if segment not in [".", ".."]]
    path = [rng.choice(no_dots if s3 else SEGMENTS) for _ in range(rng.choice([0, 1, 1, 2, 4]))] + [rng.choice(no_dots)]
    path = [segment for segment in path[:-1] if segment or ".." not in path] + path[-1:]
    pairs = [rng.choice(TEXTS[1:]) + rng.choice(["", "=", "=" + rng.choice(TEXTS), "=" + rng.choice(TEXTS)])
             for _ in range(rng.choice([0, 0, 1, 2, 3, 5]))]
    query = "?" + "&".join(pairs + rng.sample(pairs, 1) * rng.choice([0, 1])) if pairs else ""
    method = rng.choice(["GET", "POST", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
    vector = {"algorithm": "v4a" if v4a else "v4", "method": method}
    vector["url"] = f"https://{host}/" + "/".join(path) + query
    vector["headers"] = [[rng.choice(HEADERS), rng.choice(VALUES)] for _ in range(rng.randrange(6))]
    kind = rng.choice(["empty", "json", "text", "binary"])
    if kind == "binary":
        vector["body_b64"] = base64.b64encode(rng.randbytes(rng.randrange(1, 90))).decode()
    else:
        call = '{"jsonrpc":"2.0","method":"tools/list","id":%d}' % rng.randrange(1000)
        vector["body"] = {"empty": "", "json": call, "text": rng.choice(["é\n", "a\r\nb", " ", "\0", "日本語"])}[kind]
    temporary = rng.random() < 0.3
    vector["access_key"] = ("ASIA" if temporary else "AKIA") + word(rng, 9) + "EXAMPLE"
    vector["secret_key"] = word(rng, 30, string.ascii_letters + string.digits + "/+") + "EXAMPLEKEY"
    if temporary:
        vector["session_token"] = "IQoJb3JpZ2luX2Vj" + word(rng, 60, string.ascii_letters + string.digits + "/+") + "=="
    sets = [["*"], ["eu-*"], rng.sample(REGIONS, 1), rng.sample(REGIONS, 3)]
    vector |= {"regions": rng.choice(sets)} if v4a else {"region": rng.choice(REGIONS)}
    at = datetime.datetime(2015, 1, 1) + datetime.timedelta(seconds=rng.randrange(20 * 365 * 86400))
    vector |= {"service": service, "time": at.strftime("%Y%m%dT%H%M%SZ")}
    if s3 and rng.choice(["signed", "unsigned"]) == "unsigned":
        vector["options"] = {"payload": "unsigned"}
    return vector

def is_unsigned(vector):
    return "options" in vector

def sign_with_crt(vector, body):
    s3 = vector["service"] in S3_FAMILY
    host, _, target = vector["url"].removeprefix("https://").partition("/")
    headers = HttpHeaders([("Host", host)] + [tuple(header) for header in vector["headers"]])
    in_header = crt.AwsSignedBodyHeaderType
    config = crt.AwsSigningConfig(
        algorithm=crt.AwsSigningAlgorithm.V4_ASYMMETRIC if "regions" in vector else crt.AwsSigningAlgorithm.V4,
        credentials_provider=crt.AwsCredentialsProvider.new_static(
            vector["access_key"], vector["secret_key"], vector.get("session_token")),
        region=",".join(vector["regions"]) if "regions" in vector else vector["region"],
        service=vector["service"],
        date=datetime.datetime.strptime(vector["time"] + "+0000", "%Y%m%dT%H%M%SZ%z"),
        use_double_uri_encode=not s3, should_normalize_uri_path=not s3,
        signed_body_value="UNSIGNED-PAYLOAD" if is_unsigned(vector) else None,
        signed_body_header_type=in_header.X_AMZ_CONTENT_SHA_256 if s3 else in_header.NONE)
    request = HttpRequest(vector["method"], "/" + target, headers, io.BytesIO(body))
    return crt.aws_sign_request(request, config).result().headers.get("Authorization").rpartition("Signature=")[2]

def v4a_key(access_key, secret_key):
    for counter in range(1, 255):
        message = b"\0\0\0\1AWS4-ECDSA-P256-SHA256\0" + access_key.encode() + bytes([counter]) + b"\0\0\1\0"
        candidate = int.from_bytes(hmac.digest(b"AWS4A" + secret_key.encode(), message, "sha256"), "big")
        if candidate <= P256_ORDER - 2:
            return ec.derive_private_key(candidate + 1, ec.SECP256R1())

def complete(vector):
    """Adds what is expected, by botocore. True if awscrt agrees."""
    signer = (S3SigV4Auth if vector["service"] in S3_FAMILY else SigV4Auth)(
        Credentials(vector["access_key"], vector["secret_key"], vector.get("session_token")),
        vector["service"], vector.get("region"))
    body = base64.b64decode(vector["body_b64"]) if "body_b64" in vector else vector["body"].encode()
    request = AWSRequest(vector["method"], vector["url"], data=body)
    for name, value in vector["headers"]:
        request.headers.add_header(name, value)
    s3_config = {"payload_signing_enabled": not is_unsigned(vector)}
    request.context |= {"timestamp": vector["time"], "client_config": SimpleNamespace(s3=s3_config)}
    if "regions" in vector:
        request.headers["X-Amz-Region-Set"] = ",".join(vector["regions"])
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    expect = {"canonical_request": canonical}
    theirs = sign_with_crt(vector, body)
    if "regions" not in vector:
        expect["string_to_sign"] = signer.string_to_sign(request, canonical)
        expect["signature"] = signer.signature(expect["string_to_sign"], request)
        key = b"AWS4" + vector["secret_key"].encode()
        for part in [vector["time"][:8], vector["region"], vector["service"], "aws4_request"]:
            key = hmac.digest(key, part.encode(), "sha256")
        vector["expect"] = expect | {"signing_key": key.hex()}
        return theirs == expect["signature"]
    scope = f"{vector['time'][:8]}/{vector['service']}/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    expect["string_to_sign"] = f"AWS4-ECDSA-P256-SHA256\n{vector['time']}\n{scope}\n{hashed}"
    key, message = v4a_key(vector["access_key"], vector["secret_key"]), expect["string_to_sign"].encode()
    point = key.public_key().public_numbers()
    numbers = {"public_x": point.x, "public_y": point.y, "private_key": key.private_numbers().private_value}
    vector |= {name: f"{number:064x}" for name, number in numbers.items()} | {"expect": expect}
    expect["signature"] = key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)).hex()
    try:
        key.public_key().verify(bytes.fromhex(theirs), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True

if len(sys.argv) < 4:
    sys.exit(__doc__)
seed, *counts = [int(argument) for argument in sys.argv[1:4]]
services = sys.argv[4:] or SERVICES
rng = random.Random(seed)
for algorithm, count in zip(["v4", "v4a"], counts):
    kept = 0
    while kept < count:
        vector = random_request(rng, services, algorithm == "v4a")
        agreed = complete(vector)
        kept += agreed
        vector = {"id": f"gen-{algorithm}-{kept:03}"} | vector
        print(json.dumps(vector, separators=(",", ":")), file=sys.stdout if agreed else sys.stderr)
