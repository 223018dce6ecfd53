import io

from PIL import Image

from latentfill.batch.complete import complete
from latentfill.batch.inputs import Plan
from latentfill.batch.outputs import Input
from latentfill.errors import LatentfillError
from latentfill.gan.model_file import build
from latentfill.images.photos import Source
from latentfill.options import NetworkOptions, ReadLimits
from latentfill.options.commands import CompleteCommand


def encoded(mode, colour):
    file = io.BytesIO()
    Image.new(mode, (40, 30), colour).save(file, "PNG")
    return file.getvalue()


def test_a_hole_that_came_with_its_picture_is_within_the_limits_that_were_given(tmp_path):
    photo, hole = encoded("RGB", "red"), encoded("L", 255) + bytes(900)
    question = Input(Source("a", tmp_path, size=len(photo), data=photo), 1, tmp_path / "out" / "a", hole)
    for most, fits in ((len(hole), True), (len(photo), False)):
        options = CompleteCommand((), tmp_path / "out", limits=ReadLimits(max_bytes=most))
        gan = build(NetworkOptions(size=16, base=2, latent=3))
        ((_, made),) = complete(Plan.of(options, gan), gan, [question])
        assert isinstance(made, LatentfillError)
        assert ("a: its hole: " in made.what and "more than the limit" in made.what) != fits
