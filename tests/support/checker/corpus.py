"""Trail files for fault runs, made from a seed: repeats, broken records, secrets, other files."""

import gzip
import json
import random
from collections.abc import Iterator
from typing import Any

ACCOUNTS = ("111122223333", "444455556666")
REGION = "eu-central-1"
STACK = "0b1c2d3e-4f50-4617-8a9b-0c1d2e3f4a5b"
_NAMES = (
    ("opsworks.amazonaws.com", "DescribeInstances"),
    ("ec2.amazonaws.com", "DescribeInstances"),
    ("s3.amazonaws.com", "GetBucketAcl"),
    ("sts.amazonaws.com", "GetCallerIdentity"),
)
_LARGEST = 1_200  # records: more than the 512 after which split passes `mid-file`


def corpus(seed: int, *, files: int, events: int, broken: float = 0.01) -> dict[str, bytes]:
    """Return about so many events in so many files, by object key.

    2 % of the events stand in a second file too, 3 % create a stack; of the files one is cut, one's
    gzip is cut, one is nonsense, one empty, one a digest. `broken` is the share of broken records.
    """
    rng = random.Random(seed)
    sizes = _sizes(rng, files, events)
    found: dict[str, bytes] = {}
    repeats: list[dict[str, Any]] = []
    number = 0
    for file, size in enumerate(sizes):
        account = rng.choice(ACCOUNTS)
        key = _key(account, "CloudTrail", f"{seed:04}{file:05}")
        texts = []
        for _ in range(size):
            number += 1
            record = _record(rng, account, f"{seed:08x}-{number:08}")
            if rng.random() < broken:
                texts.append(rng.choice([_broken(rng), "null", "17"]))
                continue
            if rng.random() < 0.02:
                repeats.append(record)
            texts.append(json.dumps(record, separators=(",", ":")))
        found[key] = _packed(texts)
    for account in ACCOUNTS:
        again = [r for r in repeats if r["recipientAccountId"] == account]
        key = _key(account, "CloudTrail", f"{seed:04}twice")
        found[key] = _packed([json.dumps(each, separators=(",", ":")) for each in again])
    found |= _others(rng, seed)
    return found


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return a damaged copy of a sound trail file: cut, or with some of its records broken."""
    if rng.random() < 0.5:
        return data[: len(data) * 3 // 4]
    records = json.loads(gzip.decompress(data))["Records"]
    texts = [json.dumps(record, separators=(",", ":")) for record in records]
    for _ in range(3):
        texts[rng.randrange(len(texts))] = '{"eventVersion": "1.01"ed}'
    return _packed(texts)


def _sizes(rng: random.Random, files: int, events: int) -> list[int]:
    """Return sizes as they are found: one large file, most small."""
    large = min(_LARGEST, events // 2)
    weights = [rng.paretovariate(1.3) for _ in range(max(1, files - 1))]
    left = events - large
    return [large, *(max(1, int(left * weight / sum(weights))) for weight in weights)]


def _record(rng: random.Random, account: str, event_id: str) -> dict[str, Any]:
    source, name = rng.choice(_NAMES)
    second = rng.randrange(86_400 * 80)
    day, rest = divmod(second, 86_400)
    month, day = divmod(day, 28)
    record: dict[str, Any] = {
        "eventVersion": "1.08",
        "userIdentity": {
            "type": "IAMUser",
            "accountId": account,
            "arn": f"arn:aws:iam::{account}:user/ada",
            "userName": "ada",
        },
        "eventTime": f"2024-{month + 1:02}-{day + 1:02}T"
        f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}Z",
        "eventSource": source,
        "eventName": name,
        "awsRegion": REGION,
        "sourceIPAddress": "198.51.100.7",
        "userAgent": "aws-cli/2 é",
        "requestParameters": {"stackId": STACK} if source.startswith("opsworks") else {"n": 1},
        "responseElements": None,
        "eventID": event_id,
        "recipientAccountId": account,
    }
    if rng.random() < 0.02:
        record["requestParameters"] = {"masterUserPassword": _secret(rng), "port": 3306}
    elif rng.random() < 0.03:
        record["eventSource"], record["eventName"] = "opsworks.amazonaws.com", "CreateStack"
        record["requestParameters"] = {"name": f"Stack {event_id}", "region": REGION}
        record["responseElements"] = {"stackId": f"stack-of-{event_id}"}
    return record


def _secret(rng: random.Random) -> str:
    return f"PLANTED-SECRET-{rng.randrange(10**9)}"


def _broken(rng: random.Random) -> str:
    return '{"eventVersion": "1.01"ed, "masterUserPassword": "' + _secret(rng) + '"}'


def _others(rng: random.Random, seed: int) -> dict[str, bytes]:
    account = ACCOUNTS[0]
    cut = [
        json.dumps(_record(rng, account, f"{seed:08x}-cut-{n}"), separators=(",", ":"))
        for n in range(3)
    ]
    return {
        _key(account, "CloudTrail", f"{seed:04}cut"): gzip.compress(
            ('{"Records":[' + ",".join(cut))[:-40].encode(), mtime=0
        ),
        _key(account, "CloudTrail", f"{seed:04}gzcut"): _packed(
            [
                json.dumps(_record(rng, account, f"{seed:08x}-gzcut-{n}"), separators=(",", ":"))
                for n in range(30)
            ]
        )[:-400],
        _key(account, "CloudTrail", f"{seed:04}nonsense"): b"\xfe\xff nonsense",
        _key(account, "CloudTrail", f"{seed:04}empty"): _packed([]),
        _key(account, "CloudTrail-Digest", f"{seed:04}digest"): gzip.compress(
            b'{"digestStartTime":"2024-03-01T12:00:00Z"}', mtime=0
        ),
    }


def _packed(texts: list[str]) -> bytes:
    return gzip.compress(('{"Records":[' + ",".join(texts) + "]}").encode(), mtime=0)


def _key(account: str, kind: str, name: str) -> str:
    return f"AWSLogs/{account}/{kind}/{REGION}/2024/03/01/{account}_{kind}_{REGION}_{name}.json.gz"


def order(keys: list[str], seed: int) -> Iterator[str]:
    """Give keys in another order, each twentieth twice."""
    rng = random.Random(seed)
    shuffled = [*keys, *rng.sample(keys, max(1, len(keys) // 20))]
    rng.shuffle(shuffled)
    return iter(shuffled)
