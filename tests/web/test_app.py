import pytest

from latentfill.errors import ExtraError, ImageError, LatentfillError
from latentfill.web.errors import RequestError, error_response, queue_full, status_of


def test_what_is_not_there_is_said_as_json(serve):
    client = serve()
    for status, found in ((404, client.get("/nowhere")), (405, client.delete("/api/v1/models"))):
        assert found.status_code == status and set(found.json()) == {"error", "cure"}
    assert client.get("/api/v1/models/").status_code == 404  # not sent elsewhere
    assert client.get("/docs/").status_code == 404 and client.get("/redoc").status_code == 404


def test_it_works_below_a_path_whether_a_proxy_leaves_that_in_the_address_or_not(serve):
    client, token = (
        serve(root_path="/fill", token="open sesame, please"),
        {"authorization": "Bearer open sesame, please"},
    )
    for root in ("", "/fill"):
        assert (
            client.get(f"{root}/").text.startswith("<!doctype html>")
            and client.get(f"{root}/main.js").status_code == 200
        )
        assert "<code>/fill</code>" in client.get(f"{root}/docs").text
        assert client.get(f"{root}/api/v1/openapi.json").json()["servers"] == [{"url": "/fill"}]
        assert client.get(f"{root}/api/v1/models").status_code == 401
        assert client.get(f"{root}/api/v1/models", headers=token).json()["default"] == "tiny"
    for path in ("/filler/", "/fill/fill/", "/fill", "/fill//"):
        assert client.get(path).status_code == 401, path


def test_each_error_has_its_status():
    assert status_of(ImageError("what", "cure")) == status_of(LatentfillError("what", "cure")) == 422
    assert status_of(ExtraError("what", "cure")) == 503
    assert status_of(RequestError(418, "what", "cure")) == 418
    full = error_response(queue_full(64, 0.2))
    assert full.status_code == 429 and full.headers["retry-after"] == "1"
    assert error_response(queue_full(64, 12.4)).headers["retry-after"] == "12"


def failing(error):
    class Failing:
        async def run(self, work):
            raise error

        run_all = run

    return Failing()


@pytest.mark.parametrize(
    "error", [RequestError(429, "full", "come back", "queue", {"Retry-After": "3"}), ImageError("a", "b")]
)
def test_an_error_of_the_engine_reaches_the_client(serve, error):
    found = serve(engine=failing(error)).post("/api/v1/sample", json={"walk": [1, 2]})
    assert found.status_code == status_of(error) and found.json() == {"error": error.what, "cure": error.cure}
    assert found.headers.get("retry-after") == (
        error.headers["Retry-After"] if isinstance(error, RequestError) else None
    )


def test_a_mistake_in_the_engine_is_500_and_told_in_the_log_alone(serve, caplog):
    found = serve(engine=failing(RuntimeError("inner matters"))).post("/api/v1/sample", json={"walk": [1, 2]})
    assert found.status_code == 500 and "inner" not in found.text and "inner matters" in caplog.text


def test_the_engine_begins_with_the_server_and_ends_with_it(serve):
    told = []

    class Engine:
        def start(self):
            told.append("start")

        async def close(self):
            told.append("close")

    with serve(engine=Engine()) as client:
        assert told == ["start"] and client.get("/healthz").status_code == 200
    assert told == ["start", "close"]
