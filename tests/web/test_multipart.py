import logging

import httpx
import pytest

from latentfill.web.errors import RequestError
from latentfill.web.forms import MOST_FIELDS, MOST_HEADERS, parse_form

TYPE = "multipart/form-data; boundary=cut"


def part(name, value=b"1", more=b""):
    return b'--cut\r\nContent-Disposition: form-data; name="' + name + b'"' + more + b"\r\n\r\n" + value + b"\r\n"


END = b"--cut--\r\n"


def status(content_type, body):
    with pytest.raises(RequestError) as caught:
        parse_form(content_type, body)
    return caught.value.status


def test_what_a_client_library_sends_is_parse_form():
    sent = httpx.Request(
        "POST",
        "http://x",
        data={"preset": "fast", "ünicode": "ä"},
        files={"photo": ("../../etc/p.png", b"\r\n--\0\xff")},
    )
    parts = parse_form(sent.headers["content-type"], sent.read())
    assert parts == {"preset": b"fast", "ünicode": "ä".encode(), "photo": b"\r\n--\0\xff"}


def test_a_part_may_hold_all_but_its_boundary():
    value = b"--cu\r\n--cu\r\n\r\n--\r\n--cut"[:-3] + b"\r\n-"
    assert parse_form(TYPE, part(b"a", value) + part(b"b", b"") + END)["a"] == value


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "text/plain; boundary=cut", "multipart/form-data", "multipart/form-data; boundary="],
)
def test_what_is_no_form_is_not_taken(content_type):
    assert status(content_type, part(b"a") + END) == 415


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"\r\n",
        END[:-3],
        part(b"a"),
        (part(b"a") + END)[:-6],
        part(b"a", b"x" * 100)[:60],
        b"--other\r\n" + part(b"a") + END,
        b"--cut\r\nContent-Disposition: form-data\r\n\r\n1\r\n" + END,
        b"--cut\r\nContent-Type: text/plain\r\n\r\n1\r\n" + END,
        b"--cut\r\n\r\n1\r\n" + END,
        b"--cut\r\nno header\r\n\r\n1\r\n" + END,
        b"--cut\r\n: x\r\n\r\n1\r\n" + END,
        b"--cut\r\nA: x\ry\r\n\r\n1\r\n" + END,
        b"--cut\rX" + part(b"a") + END,
        b'--cut\r\nContent-Disposition: form-data; name=""\r\n\r\n1\r\n' + END,
    ],
)
def test_a_malformed_form_is_refused(body):
    assert status(TYPE, body) == 400


def test_an_absurd_boundary_is_refused():
    assert status(f"multipart/form-data; boundary={'x' * 5000}", b"") == 400


def test_neither_fields_nor_their_headers_are_endless():
    fields = [part(b"%d" % number) for number in range(MOST_FIELDS + 1)]
    assert len(parse_form(TYPE, b"".join(fields[:-1]) + END)) == MOST_FIELDS
    assert status(TYPE, b"".join(fields) + END) == 400
    headers = b"".join(b"\r\nX%d: y" % i for i in range(MOST_HEADERS))
    assert status(TYPE, part(b"a", more=headers) + END) == 400


def test_the_parser_logs_nothing_of_what_was_sent(caplog):
    with caplog.at_level(logging.DEBUG):
        status(TYPE, b"--cut\r\nno header\r\n\r\n1\r\n" + END)
    assert not [one for one in caplog.records if one.levelno >= logging.INFO and one.name != "latentfill.web"]
