"""Masking: secrets go, everything else stays byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_ingest.masking import MARK, Masking
from tests.support.records import a_record, record_text

MASKING = Masking(["taxId", "employee_number", "..."])
PEM = "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----"
TOKEN = "IQoJb3JpZ2lu" + "c2VjcmV0" * 12


def masked(parameters: object, **layout: object) -> tuple[object, list[str]]:
    text = json.dumps({"requestParameters": parameters}, **layout).encode()  # type: ignore[arg-type]
    changed, paths = MASKING.mask(text)
    return json.loads(changed)["requestParameters"], [
        path.removeprefix("requestParameters.") for path in paths
    ]


@pytest.mark.parametrize("layout", [{}, {"indent": 2}, {"separators": (",", ":")}])
@pytest.mark.parametrize(
    "key",
    [
        "password", "Password", "dbPassword", "masterUserPassword", "MysqlRootPassword",
        "secretAccessKey", "secret_access_key", "sessionToken", "privateKey", "sshKey",
        "customJson", "Authorization", "client-secret", "X-Amz-Security-Token", "taxId", "TAX_ID",
        "employeeNumber",
    ],
)  # fmt: skip
def test_a_secret_key_hides_its_value(key: str, layout: dict[str, object]) -> None:
    assert masked({"a": [{key: 'se"cret', "b": 1}]}, **layout) == (
        {"a": [{key: MARK, "b": 1}]},
        [f"a[0].{key}"],
    )


@pytest.mark.parametrize("secret", [12345, -1.5e3, ["x", {"y": "]"}], {"z": {}}, "\\", "}"])
def test_a_secret_value_may_be_of_any_kind(secret: object) -> None:
    assert masked({"password": secret, "b": 1}) == ({"password": MARK, "b": 1}, ["password"])


@pytest.mark.parametrize(
    "value",
    [
        True, False, None, "", [], {}, "**redacted**", "*** Redacted ***", "****", "REDACTED",
        "HIDDEN_DUE_TO_SECURITY_REASONS", "<sensitiveDataRemoved>",
    ],
)  # fmt: skip
def test_markers_and_what_says_nothing_stay(value: object) -> None:
    assert masked({"password": value}) == ({"password": value}, [])


@pytest.mark.parametrize(
    "parameters",
    [
        {"passwordResetRequired": "x", "nextToken": "x", "clientToken": "x", "secretId": "x"},
        {"note": 'the "password" is here', "keyName": "ssh"},
        {"value": "password", "list": ["secret", "x"]},
    ],
)
def test_keys_that_only_resemble_stay(parameters: object) -> None:
    text = record_text(a_record(requestParameters=parameters))

    assert MASKING.mask(text) == (text, [])
    assert MASKING.mask(text)[0] is text


def test_pem_blocks_and_session_tokens_go_wherever_they_stand() -> None:
    assert masked({"userData": f"a {PEM} b", "x": f"t={TOKEN};", "open": PEM[:50]}) == (
        {"userData": f"a {MARK} b", "x": f"t={MARK};", "open": MARK},
        ["userData", "x", "open"],
    )


def test_a_certificate_stays() -> None:
    certificate = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----"

    assert masked({"body": certificate}) == ({"body": certificate}, [])


@pytest.mark.parametrize("depth", [1, 2])
def test_json_inside_a_string_is_masked_too(depth: int) -> None:
    inner: object = {"user": "ada", "Password": "hunter2", "n": 1, "secret": 42, "secretKey": None}
    for _ in range(depth):
        inner = json.dumps(inner)

    found, paths = masked({"document": inner})

    assert paths == ["document"]
    assert isinstance(found, dict)
    document: object = found["document"]
    for _ in range(depth):
        assert isinstance(document, str)
        document = json.loads(document)
    assert document == {"user": "ada", "Password": MARK, "n": 1, "secret": MARK, "secretKey": None}


@pytest.mark.parametrize("layout", [{}, {"indent": 2}, {"separators": (",", ":")}])
@pytest.mark.parametrize(
    ("pair", "hides"),
    [
        ({"key": "DB", "value": "hunter2", "secure": True}, "value"),
        ({"secure": True, "value": "hun}ter{2", "key": "DB"}, "value"),
        ({"Key": "DB", "Value": "hunter2", "Secure": True}, "Value"),
        ({"key": "DB", "value": "hunter2", "secure": False}, None),
        ({"key": "DB", "value": "**redacted**", "secure": True}, None),
        ({"name": "DB_PASSWORD", "value": "hunter2"}, "value"),
        ({"name": "secret-key", "type": "PLAINTEXT", "value": "hunter2"}, "value"),
        ({"parameterKey": "MasterPassword", "parameterValue": "hunter2"}, "parameterValue"),
        ({"parameterKey": "MasterPassword", "usePreviousValue": True}, None),
        ({"key": "stage", "value": "prod"}, None),
    ],
)
def test_a_value_beside_a_name_or_a_word_that_says_secret_is_hidden(
    pair: dict[str, object], hides: str | None, layout: dict[str, object]
) -> None:
    found, paths = masked({"environment": [{"key": "a", "value": "b"}, pair]}, **layout)

    expected = pair if hides is None else pair | {hides: MARK}
    assert found == {"environment": [{"key": "a", "value": "b"}, expected]}
    assert paths == ([] if hides is None else [f"environment[1].{hides}"])


def test_patterns_of_an_installation_hide_what_they_match_in_values() -> None:
    own = Masking(patterns=[r"EMP-\d{4}", "x*"])
    text = b'{"EMP-1234":{"note":"of EMP-1234, \\"EMP-99\\"","n":"EMP-0001"}}'

    changed, paths = own.mask(text)

    assert json.loads(changed) == {"EMP-1234": {"note": f'of {MARK}, "EMP-99"', "n": MARK}}
    assert paths == ["EMP-1234.note", "EMP-1234.n"]
    assert b"EMP-0001" not in own.mask_fragment(b'{"n":"EMP-0001')


def test_paths_of_odd_text_are_told_where_it_can_be_read() -> None:
    assert MASKING.mask(b'{"a":"\\ud800","password":"x"}')[1] == ["password"]
    assert MASKING.mask(b'{"password":"x"')[1] == []
    assert MASKING.mask(b'{"\\ud800":{"password":"x"}}')[1] == ["?.password"]
    assert MASKING.mask(b'{"a\xa1":{"password":"x\xa1"}}')[1] == ["a\ufffd.password"]
    deep = b'{"a":' * 990 + b'{"password":"x"}' + b"}" * 990
    assert MASKING.mask(deep)[0] == deep.replace(b'"x"', b'"***masked by opstrail***"')


@pytest.mark.parametrize(
    "fragment",
    [
        b'{"password":"hunter2',
        b'{"password:"hunter2"}',
        b'{"password":hunter2","a":1}',
        b"dbPassword = hunter2, b",
        b'secret_access_key: "hunter2"',
        b'{"customJson":{"a":"hunter2"',
        b'"{\\"password\\":\\"hunter2',
        b"password: -----BEGIN PRIVATE KEY-----hunter2",
        b'{"key":"DB","value":"hunter2","secure":true',
        b'"secure":true,"value":hunter2,',
    ],
)
def test_fragments_that_are_no_json_are_masked(fragment: bytes) -> None:
    assert b"hunter2" not in MASKING.mask_fragment(fragment)


def test_a_fragment_without_secrets_stays() -> None:
    fragment = b'{"eventVersion": "1.01"ed, "password": "**redacted**", "secret": null'

    assert MASKING.mask_fragment(fragment) == fragment


@pytest.mark.parametrize(
    "agent",
    [
        '"password":"',
        '{"password":"C:\\',
        '"secret":{"a":[',
        '"pwd":"' + "\\" * 9,
        PEM[:40] + '"}',
        f'{{"t":"{TOKEN}"}}',
        "\\u0022secret\\u0022:1",
    ],
)
def test_a_string_that_is_no_sound_json_costs_nobody_else(agent: str) -> None:
    after = {"requestParameters": {"a": "b"}, "eventID": "1"}
    for text in (agent, json.dumps(agent), json.dumps(json.dumps(agent))):
        record = json.dumps({"userAgent": text, **after}).encode()

        assert {"userAgent": json.loads(MASKING.mask(record)[0])["userAgent"], **after} == (
            json.loads(MASKING.mask(record)[0])
        )


@pytest.mark.parametrize(
    "text",
    [
        r'{"a":"{\"secret\":{\"x\":\"hunter2\"}}"}',
        r'{"a":"{\"password\":[\"hunter2\"]}"}',
        '{"' + "k" * 200 + 'password":"hunter2"}',
        r'{"p\u0061ssword":"hunter2"}',
        r'{"a":"{\u0022password\u0022:\u0022hunter2\u0022}"}',
        '{"parameterKey":"DBPassword", "parameterValue": "hunter2"}',
        '{"environment":[{"name":"DB_PASSWORD","value":"hunter2"}]}',
        '{"a":' + json.dumps(json.dumps(json.dumps('{"x":["hunter2","secret"],"pwd":"hunter2"}')))
        .replace("x", "sshKey") + "}",
    ],
)  # fmt: skip
def test_secrets_are_found_however_they_are_written(text: str) -> None:
    changed, paths = MASKING.mask(text.encode())

    assert b"hunter2" not in changed
    assert len(paths) == 1
    json.loads(changed)


def test_json_in_more_strings_than_are_looked_into_is_masked_whole() -> None:
    text = '{"password":"hunter2"}'
    for _ in range(8):
        text = json.dumps({"a": text})

    changed, paths = MASKING.mask(text.encode())

    assert (b"hunter2" in changed, paths) == (False, ["a"])
    json.loads(changed)


def test_bytes_that_are_no_utf_8_are_no_hindrance() -> None:
    assert MASKING.mask(b'{"name":"M\xfcller","password":"x"}') == (
        b'{"name":"M\xfcller","password":"' + MARK.encode() + b'"}',
        ["password"],
    )


def test_paths_can_be_written_as_utf_8() -> None:
    assert MASKING.mask(b'{"\\ud800":{"password":"x"}}')[1] == ["?.password"]


def test_paths_are_few_and_short() -> None:
    many = b'{"' + b"k" * 5000 + b'":[' + b'{"pwd":1},' * 5000 + b"0]}"

    changed, paths = MASKING.mask(many)

    assert changed.count(MARK.encode()) == 5000
    assert (len(paths), {len(path) for path in paths}) == (1000, {1000})


def test_records_as_deep_as_can_be_read_are_masked() -> None:
    text = b'{"a":' * 985 + b'{"password":"hunter2"}' + b"}" * 985

    assert b"hunter2" not in MASKING.mask(text)[0]


@pytest.mark.parametrize(
    "junk",
    [
        b"a", b"password", b"password:", b'"pwd":', b'"secret":[{', b'\\"secret', b'\\\\"secret',
        b"-----BEGIN PRIVATE KEY-----", b"AQoDYXdz\\\\", b"\\u005c", b"\\",
    ],
)  # fmt: skip
def test_a_megabyte_of_junk_takes_no_time(junk: bytes) -> None:
    """Quadratic time would be hours: the test would end by its timeout."""
    MASKING.mask_fragment(b'{"a":"' + junk * (2**20 // len(junk)))


texts = st.text() | st.sampled_from(
    ["hunter2", "\ud800", '"password":"', "\\", "\\u00", PEM, PEM[:40], TOKEN, "name", "secret"]
)
values = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            texts | st.sampled_from(["password", "Pwd", "value", "secure"]), inner, max_size=3
        )
        | inner.map(json.dumps)
        | inner.map(lambda value: json.dumps(value)[:-2])
    ),
)


def same_but_for_marks(before: object, after: object) -> bool:
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        return len(before) == len(after) and all(map(same_but_for_marks, before, after))
    return before == after or (isinstance(after, str) and MARK in after)


def members(text: bytes) -> object:
    """Return JSON with its objects as lists of members: of one name there may be several."""
    return json.loads(text, object_pairs_hook=list)


@given(
    values,
    st.booleans(),
    st.sampled_from([MASKING, Masking(patterns=["a+", r"[^a]\W", "(?s:.)$"])]),
)
def test_masked_json_is_json_with_the_same_members(
    value: object, ascii_only: bool, masking: Masking
) -> None:
    text = json.dumps({"v": value, "password": "hunter2"}, ensure_ascii=ascii_only)
    text_bytes = text.encode("utf-8", "replace")

    changed, paths = masking.mask(text_bytes)

    assert same_but_for_marks(members(text_bytes), members(changed))
    assert members(changed)[-1] == ("password", MARK)  # type: ignore[index]
    assert "password" in paths


def secret_under(key: str, value: object, times: int) -> object:
    inner: object = {"v": [value], key: {"x": ["correct horse"]}}
    for _ in range(times):
        inner = [json.dumps({"v": inner})]
    return inner


@given(st.sampled_from(["secret", "dbPassword", "taxId"]), values, st.integers(0, 4))
def test_no_secret_stays(key: str, value: object, times: int) -> None:
    text = json.dumps(secret_under(key, value, times))

    assert b"correct horse" not in MASKING.mask(text.encode())[0]


@given(st.binary() | st.text('"\\:{}[], passwordu0').map(str.encode))
def test_no_bytes_make_it_fail(text: bytes) -> None:
    MASKING.mask(text)
    MASKING.mask_fragment(text)
