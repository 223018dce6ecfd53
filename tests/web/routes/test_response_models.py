from latentfill.web.routes import response_models


def test_answers_are_as_they_are_described(client, form, photo):
    described = client.get("/api/v1/openapi.json").json()["paths"]
    page = client.get("/docs").text

    def post(route, **more):
        path = f"/api/v1/{route}"
        answer = client.post(path, headers={"accept": "application/json"}, **more)
        assert answer.status_code == 200, answer.text
        name = described[path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].split("/")[
            -1
        ]
        return getattr(response_models, name).model_validate(answer.json())

    done = post("complete", **form())
    assert done.trust and done.candidates[0].image.startswith("data:image/png")
    assert post("edits", **form(state=done.state, count="1", frames="3")).edits
    files = {name: value for name, value in form()["files"].items() if name == "photo"}
    assert post("decode", files=files).size == [40, 24]
    assert post("faces", files=files).faces == []
    assert post("sample", json={"images": [{"7": 1}]}).images
    assert post("select", files=form()["files"]).size == [40, 24]
    assert "the error to expect in the hole" in page and "&quot;event&quot;: &quot;started&quot;" in page
