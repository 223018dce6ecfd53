import gzip
import json
from urllib.parse import unquote

import pytest

from latentfill.web.app import read_page


@pytest.fixture
def page(tmp_path, monkeypatch, serve):
    (tmp_path / "samples").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html>" + "long " * 100)
    (tmp_path / "main.js").write_text("export {};")
    (tmp_path / "samples" / "face.jpg").write_bytes(b"jpeg")
    (tmp_path / "notes.py").write_text("secret")
    (tmp_path / ".env").write_text("secret")
    found = read_page(tmp_path)
    monkeypatch.setattr("latentfill.web.app.read_page", lambda: found)
    return serve()


def test_the_page_is_at_the_root_and_its_files_beside(page):
    assert page.get("/").text.startswith("<!doctype html>")
    assert page.get("/").headers["content-type"] == "text/html; charset=utf-8"
    assert page.get("/main.js").headers["content-type"] == "text/javascript; charset=utf-8"
    assert page.get("/samples/face.jpg").content == b"jpeg"
    assert page.head("/").status_code == 200 and page.post("/").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        *("/notes.py", "/.env", "/samples", "/samples/", "/index.html", "/samples/../main.js", "/%2e%2e/app.py"),
        *("/..%2fapp.py", "//main.js", "/main.js/", "/main.js%00", "/samples%2fface.png", "/C:/x", "/etc/passwd"),
    ],
)
def test_no_other_path_leads_to_a_file(page, ask, path):
    status, _, body, _ = ask(page.app, unquote(path), headers=[("host", "127.0.0.1")])
    assert status == 404 and set(json.loads(body)) == {"error", "cure"}


def test_texts_are_sent_packed_to_who_can_unpack_them(page):
    packed = page.get("/", headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip" and packed.text.startswith("<!doctype html>")
    assert int(packed.headers["content-length"]) < 200
    plain = page.get("/", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.text == packed.text
    assert "content-encoding" not in page.get("/samples/face.jpg").headers


def test_what_the_browser_has_is_not_sent_again(page):
    tag = page.get("/main.js").headers["etag"]
    again = page.get("/main.js", headers={"if-none-match": tag})
    assert again.status_code == 304 and not again.content
    assert page.get("/main.js", headers={"if-none-match": '"other"'}).status_code == 200


def test_packing_says_nothing_of_when_it_was_done(tmp_path):
    (tmp_path / "a.css").write_text("a{}")
    one = read_page(tmp_path)["/a.css"]
    assert one.packed == read_page(tmp_path)["/a.css"].packed and gzip.decompress(one.packed) == b"a{}"


def test_the_pages_of_this_package_ask_nothing_of_other_hosts():
    import re

    for path, one in read_page().items():
        if path == "/" or path.endswith((".html", ".css", ".js")):
            for address in re.findall(
                rb"""(?:src|href|url|import|fetch)\s*[=(]?\s*["'(]?(https?:)?//[^\s"')]+""", one.data
            ):
                pytest.fail(f"{path} asks {address!r}")
