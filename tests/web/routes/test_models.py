from dataclasses import replace

from latentfill.gan.model_file import build, build_encoder
from latentfill.options import NetworkOptions


def test_each_model_says_what_it_can(serve, gan):
    options = NetworkOptions(size=16, base=2, latent=5, prior="normal", channels=1)
    about = {"alignment": {"margin": 1.0}, "trust": {"best": {}}, "classes": {"cats": 3, "dogs": 4}}
    other = replace(build(options), encoder=build_encoder(options, 2, 4), about=about)
    found = serve({"tiny": gan, "other": other}, {"other": "# Other"}).get("/api/v1/models").json()
    assert found["default"] == "tiny"
    assert found["models"] == [
        {
            "name": "tiny",
            **{
                "size": 8,
                "channels": 3,
                "latent": 3,
                "prior": "uniform",
                "alignment": False,
                "encoder": False,
                "completer": False,
                "upsampler": False,
            },
            **{"calibrated": False, "classes": [], "card": ""},
        },
        {
            "name": "other",
            **{
                "size": 16,
                "channels": 1,
                "latent": 5,
                "prior": "normal",
                "alignment": True,
                "encoder": True,
                "completer": False,
                "upsampler": False,
            },
            **{"calibrated": True, "classes": ["cats", "dogs"], "card": "# Other"},
        },
    ]
