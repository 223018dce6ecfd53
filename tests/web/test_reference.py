from html.parser import HTMLParser
from urllib.parse import urljoin

from latentfill.web.reference import write_page


class Seen(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.open, self.anchors = [], [], {}

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_api_is_described_without_scripts_or_other_hosts(serve):
    client = serve()
    answer = client.get("/docs")
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    seen = Seen()
    seen.feed(answer.text)
    assert not seen.open and "script" not in {tag for tag, _ in seen.tags}
    addresses = [told[key] for _, told in seen.tags for key in ("href", "src") if key in told]
    ids = {told["id"] for _, told in seen.tags if "id" in told}
    assert addresses and all(one[1:] in ids if one[0] == "#" else one[0] != "/" for one in addresses), "below any path"
    assert not [told for _, told in seen.tags if "style" in told]  # the policy forbids it
    for one in addresses:
        assert one.startswith("#") or client.get(urljoin("/docs", one)).status_code == 200, one


def test_every_address_is_described_with_its_fields_and_their_sentences(serve):
    text = serve().get("/docs").text
    described = serve().get("/api/v1/openapi.json").json()
    assert {"/healthz", "/metrics", "/api/v1/models", "/api/v1/sample"} <= set(described["paths"])
    for path, methods in described["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in text
    assert "seeds to walk through, from each to the next" in text and "≥ 2 ≤ 1000" in text


def test_what_is_described_is_escaped():
    operation = {"description": "<script>alert(1)</script>", "responses": {"200": {"description": "<b>"}}}
    told = write_page({"info": {"title": "<i>", "version": "'\""}, "paths": {"/<x>": {"get": operation}}}).decode()
    assert "<script" not in told and "<b>" not in told and "<i>" not in told and "/<x>" not in told
