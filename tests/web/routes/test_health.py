import latentfill


def test_a_server_says_that_it_lives(serve):
    answer = serve(token="correct-horse-battery").get("/healthz")
    assert answer.json() == {"status": "ok", "version": latentfill.__version__}
    assert answer.headers["cache-control"] == "no-store"
