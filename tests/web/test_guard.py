import asyncio
import logging

import pytest
from starlette.responses import PlainTextResponse

from latentfill.options import ServeOptions
from latentfill.web.metrics import Metrics
from latentfill.web.security import HELD, JSON_BYTES, Guard

TOKEN = "correct-horse-battery"
HOST = ("host", "127.0.0.1:8000")
FORM = ("content-type", "multipart/form-data; boundary=x")


async def echo(scope, receive, send):
    """How many bytes the body has."""
    message = await receive()
    await PlainTextResponse(str(len(message["body"])))(scope, receive, send)


def guarded(app=echo, **options):
    return Guard(app, ServeOptions(**options), Metrics(), frozenset({"/healthz", "/"}))


def told(text):
    return {"error", "cure"} == set(text) and all(text.values())


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost", "LOCALHOST:9", "[::1]:8000", "127.0.0.53", "fill.example.org"]
)
def test_a_server_answers_to_its_own_names(ask, host):
    assert ask(guarded(hosts=("Fill.example.org",)), headers=[("host", host)])[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.0.9"),
        *("", ":8000", "localhost@evil.example", "evil.example#localhost", "localhost/x", " localhost", "10.0.0.1:80"),
        *("[::1", "[", "0x7f.1", "127.0.0.1,evil.example"),
    ],
)
def test_a_name_bound_anew_to_this_machine_is_refused(ask, serve, host):
    status, _, body, taken = ask(guarded(), headers=[("host", host)])
    assert status == 403 and b"--hosts" in body and taken == 0
    assert serve().get("/api/v1/models", headers={"host": host}).status_code in (400, 403)


def test_numbers_cannot_be_bound_anew_so_a_server_on_all_addresses_answers_to_them(ask):
    assert ask(guarded(host="0.0.0.0"), headers=[("host", "192.168.0.9:8000")])[0] == 200
    assert ask(guarded(host="0.0.0.0"), headers=[("host", "evil.example")])[0] == 403


def test_none_or_two_hosts_are_refused(ask):
    assert ask(guarded())[0] == 400
    assert ask(guarded(), headers=[HOST, ("host", "evil.example")])[0] == 400


@pytest.mark.parametrize(
    "headers",
    [
        [("origin", "http://evil.example")],
        [("origin", "http://127.0.0.1:3000")],  # another server of this machine
        [("origin", "http://localhost:8000")],
        [("origin", "null")],
        [("origin", "")],
        [("origin", "http://[")],
        [("origin", "http://127.0.0.1:8000"), ("origin", "http://evil.example")],
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")],
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
    ],
)
def test_another_sites_page_may_not_ask(ask, headers):
    status, _, body, taken = ask(guarded(), "/api/v1/sample", "POST", [HOST, *headers])
    assert status == 403 and b"other sites" in body and taken == 0


def test_the_own_page_may_ask_and_a_link_from_elsewhere_may_open_it(ask):
    own = [HOST, ("origin", "http://127.0.0.1:8000"), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")]
    assert ask(guarded(), "/api/v1/sample", "POST", own)[0] == 200
    link = [HOST, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]
    assert ask(guarded(), "/", headers=link)[0] == 200
    assert ask(guarded(), "/api/v1/models", headers=link)[0] == 403


def test_a_proxy_with_a_name_and_encryption_is_the_same_origin(ask):
    headers = [("host", "fill.example.org"), ("origin", "https://fill.example.org")]
    assert ask(guarded(hosts=("fill.example.org",)), "/api/v1/sample", "POST", headers)[0] == 200


@pytest.mark.parametrize(
    "shown",
    [
        *(None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, "Bearer ü\xff"),
        *(f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN.upper()}", f"Bearer x {TOKEN}"),
    ],
)
def test_without_the_token_nothing_is_answered_nor_read(ask, shown):
    headers = [HOST] if shown is None else [HOST, ("authorization", shown)]
    for path in ("/api/v1/models", "/metrics", "/api/v1/openapi", "/nowhere", "//healthz", "/healthz/", "/HEALTHZ"):
        status, answered, body, taken = ask(guarded(token=TOKEN), path, "POST", headers)
        assert status == 401 and answered["www-authenticate"] == "Bearer" and taken == 0
        assert TOKEN.encode() not in body


def test_the_token_opens(ask):
    for scheme in ("Bearer", "bearer", "BEARER "):
        assert ask(guarded(token=TOKEN), "/metrics", headers=[HOST, ("authorization", f"{scheme} {TOKEN}")])[0] == 200


def test_page_and_health_need_no_token(ask):
    assert ask(guarded(token=TOKEN), "/healthz", headers=[HOST])[0] == 200
    assert ask(guarded(token=TOKEN), "/", headers=[HOST])[0] == 200


def test_the_token_is_compared_in_constant_time(ask, monkeypatch):
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    assert ask(guarded(token=TOKEN), "/metrics", headers=[HOST, ("authorization", "Bearer nothing")])[0] == 401
    assert compared == [(b"nothing", TOKEN.encode())]


def test_more_bytes_than_the_limit_are_refused_before_any_is_read(ask):
    status, _, body, taken = ask(
        guarded(max_bytes=100), "/api", "POST", [HOST, FORM, ("content-length", "101")], [b"x" * 101]
    )
    assert (status, taken) == (413, 0) and b"100 bytes" in body
    whole = [HOST, FORM, ("content-length", "100")]
    assert ask(guarded(max_bytes=100), "/api", "POST", whole, [b"x" * 100])[2] == b"100"


def test_chunks_without_a_length_are_counted_as_they_come(ask):
    chunks = [b"x" * 30] * 10
    status, _, _, taken = ask(guarded(max_bytes=100), "/api", "POST", [HOST, FORM], chunks)
    assert (status, taken) == (413, 4)
    assert ask(guarded(max_bytes=300), "/api", "POST", [HOST, FORM], chunks)[2] == b"300"


def test_a_length_that_lies_does_not_help(ask):
    headers = [HOST, FORM, ("content-length", "1")]
    assert ask(guarded(max_bytes=100), "/api", "POST", headers, [b"x" * 60] * 3)[0] == 413


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "²", "", "0x10"])
def test_a_length_that_is_no_number_is_refused(ask, length):
    assert ask(guarded(), "/api", "POST", [HOST, FORM, ("content-length", length)])[0] == 400


def test_an_absurd_length_is_too_large(ask):
    assert ask(guarded(), "/api", "POST", [HOST, FORM, ("content-length", "9" * 5000)])[0] == 413


def test_json_may_be_less_large_than_a_form(ask):
    body = [b"x" * (JSON_BYTES + 1)]
    assert ask(guarded(), "/api", "POST", [HOST, ("content-type", "application/json")], body)[0] == 413
    assert ask(guarded(), "/api", "POST", [HOST, FORM], body)[0] == 200


def test_a_request_that_comes_too_slowly_is_given_up(ask):
    async def slow(scope, receive, send):
        async def late():
            await asyncio.sleep(0.05)
            return await receive()

        await guard(scope, late, send)

    guard = guarded(upload_seconds=0.02)
    status, _, body, _ = ask(slow, "/api", "POST", [HOST, FORM], [b"x"] * 5)
    assert status == 408 and b"too slowly" in body
    assert guard._held == 0


def test_a_client_that_leaves_while_sending_leaves_nothing_behind(ask):
    async def leaves(scope, receive, send):
        first = True

        async def gone():
            nonlocal first
            if first:
                first = False
                return {"type": "http.request", "body": b"x" * 50, "more_body": True}
            return {"type": "http.disconnect"}

        await guard(scope, gone, send)

    guard = guarded()
    assert ask(leaves, "/api", "POST", [HOST, FORM])[0] == 400
    assert guard._held == 0


def test_requests_that_fill_the_memory_together_are_told_to_come_back(ask):
    guard = guarded(max_bytes=100)
    others = guard._held = HELD * 100 - 90
    assert ask(guard, "/api", "POST", [HOST, FORM], [b"x" * 90])[0] == 200
    status, headers, _, _ = ask(guard, "/api", "POST", [HOST, FORM], [b"x" * 60, b"x" * 31])
    assert status == 429 and int(headers["retry-after"]) >= 1
    assert guard._held == others


def test_every_answer_carries_the_headers_of_caution(ask, serve):
    client = serve(token=TOKEN)
    for status, answer in [
        (200, client.get("/healthz")),
        (401, client.get("/metrics")),
        (403, client.get("/healthz", headers={"host": "evil.example"})),
        (404, client.get("/nowhere", headers={"authorization": f"Bearer {TOKEN}"})),
        (405, client.put("/healthz")),
    ]:
        assert answer.status_code == status
        assert told(answer.json()) or status == 200
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["img-src"] == "'self' data: blob:" and "unsafe" not in str(policy)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_browser_is_not_told_that_other_sites_may_ask(serve):
    headers = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    answer = serve().options("/api/v1/sample", headers=headers)
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


def test_the_log_has_no_query_no_token_and_nothing_of_what_was_sent(serve, caplog):
    with caplog.at_level(logging.DEBUG):
        client = serve(token=TOKEN)
        headers = {"authorization": f"Bearer {TOKEN}", "cookie": "biscuit", "content-type": "application/json"}
        client.post("/api/v1/sample?word=secret", content=b'{"model": "picture"}', headers=headers)
        client.get("/metrics", headers={"authorization": "Bearer wrong-token-wrong"})
        client.get("/a%0ab%1b[31m", headers=headers)
    ours = [one.getMessage() for one in caplog.records if one.name == "latentfill.web"]
    assert len(ours) == 3 and "POST /api/v1/sample 404" in ours[0] and "20 bytes in" in ours[0]
    for word in (TOKEN, "wrong-token", "secret", "biscuit", "picture", "\n", "\x1b"):
        assert not [line for line in ours if word in line]


def test_a_mistake_of_ours_tells_the_client_nothing_but_that(ask, caplog):
    async def broken(scope, receive, send):
        raise RuntimeError("inner matters")

    status, headers, body, _ = ask(guarded(broken), "/healthz", headers=[HOST])
    assert status == 500 and b"inner" not in body and "content-security-policy" in headers
    assert "inner matters" in caplog.text


def test_web_sockets_are_closed():
    sent = []

    async def keep(message):
        sent.append(message)

    asyncio.run(guarded()({"type": "websocket", "path": "/"}, None, keep))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_a_client_that_has_left_is_noticed_by_what_answers(ask):
    found = []

    async def waits(scope, receive, send):
        found.append(await receive())
        found.append(await receive())
        await PlainTextResponse("")(scope, receive, send)

    ask(guarded(waits), "/api", "POST", [HOST, FORM], [b"a", b"b"])
    assert found == [{"type": "http.request", "body": b"ab", "more_body": False}, {"type": "http.disconnect"}]
