"""From a form to a question: the fields that completing and editing have in common."""

from functools import partial
from typing import Annotated, Any

from annotated_types import Len

from ...completion.attempts import warm
from ...completion.observations import KINDS as OBSERVED
from ...completion.observations import parse as parse_sight
from ...completion.samples import draw as draw_samples
from ...errors import HoleError
from ...images.holes import ALIASES, DrawnHole
from ...images.holes import KINDS as HOLES
from ...images.originals import Original
from ...images.photos import READ
from ...options import COMPLETE_PRESETS, CompleteOptions, PhotoOptions, ServeOptions
from ...pipeline import ask, draw_hole
from ..engine.line import Seat
from ..engine.question import Question, check
from ..errors import Refused
from ..forms import Form, hole_of, photo_of, validated
from ..state import State
from .described import a_file, a_text

FILES = ("photo", "hole")
DRAWN = [name for name in HOLES if name not in ("file", "folder")]  # what is read from no disk
LONGEST = 1000  # letters of a hole or an observation that is written down
MOST_FACES = 32
Point = tuple[float, float]
Landmarks = Annotated[list[tuple[Point, Point, Point]], Len(0, MOST_FACES)]
FIELDS: dict[str, Any] = {
    "photo": a_file(f"the picture: {READ}"),
    "hole": a_file("a picture of the same size, white where a pixel is to be found"),
    "hole_spec": a_text(f"instead, what is to be found in words: {'; '.join(HOLES[name] for name in DRAWN)}"),
    "model": a_text("name of a model; default: the first of the server's"),
    "preset": a_text("settings to start from", enum=list(COMPLETE_PRESETS), default="best"),
    "options": CompleteOptions,
    "photo_options": PhotoOptions,
    "observe": a_text(f"what the picture is an observation of, joined by +: {'; '.join(OBSERVED.values())}"),
    "landmarks": a_text("JSON [n][3][2]: x, y of three points of each face that cannot be found"),
}
TEXTS = tuple(name for name in FIELDS if name not in FILES)


def question_of(state: State, form: Form, seat: Seat) -> Question:
    """What a form asks. Decodes its pictures and looks for faces: no work for the event loop.

    Raises LatentfillError for whatever cannot be answered.
    """
    gan = state.gan(form.text("model", None))
    name = form.text("model", state.default)
    preset = form.text("preset", "best")
    if preset not in COMPLETE_PRESETS:
        raise Refused(422, f"there is no preset {preset[:80]!r}", f"It is one of: {', '.join(COMPLETE_PRESETS)}.")
    options = form.options("options", COMPLETE_PRESETS[preset])
    photo_options = form.options("photo_options", PhotoOptions())
    landmarks: Any = validated("landmarks", Landmarks, form.json("landmarks", []))
    observe = _short(form, "observe")
    sight = None if observe is None else parse_sight(observe)
    warm(gan, options)  # whether there is the encoder that is asked for
    data = form.data("photo")
    if data is None:
        raise Refused(422, "photo: it is missing", "Send a picture in the field 'photo'.")
    original = photo_of(data, state.options, weigh=partial(state.engine.weigh, seat))
    drawn = _hole(form, original, options.seed, gan.network.size, state.options, observed=sight is not None)
    if drawn.lowres and sight is not None:
        raise Refused(422, "a hole of lowres shows means of blocks itself", "Send observe lowres:8 alone.")
    most = state.options.max_pixels
    cut, incomplete = ask(original, drawn, gan, photo_options, landmarks, sight=sight, most=most)
    question = Question(name, gan, cut, incomplete, options, photo_options)
    check(question, state.options.max_steps)
    if incomplete is not None and options.method == "posterior":
        draw_samples(gan, incomplete, options)  # says what it cannot do before it begins
    return question


def _hole(form: Form, original: Original, seed: int, size: int, options: ServeOptions, *, observed: bool) -> DrawnHole:
    painted, words = form.data("hole"), _short(form, "hole_spec")
    if painted is not None and words is not None:
        raise Refused(422, "hole and hole_spec: there is one hole", "Send one of them.")
    if painted is not None:
        return DrawnHole.of(hole_of(painted, options, original.values.shape[:2]))
    if words is None and not observed:
        raise Refused(422, "nothing is asked", "Send a hole, or say in observe what the photo is.")
    words = words or "full"
    head = words.split(":")[0]
    if ALIASES.get(head, head) not in DRAWN:  # anything else would be taken for the name of a file
        raise HoleError(f"hole_spec: {head[:80]!r} is no kind of hole", f"It is one of: {', '.join(DRAWN)}.")
    return draw_hole(words, original, seed, "the photo", size)


def _short(form: Form, name: str) -> str | None:
    text = form.text(name, None)
    if text is not None and len(text) > LONGEST:
        raise Refused(422, f"{name}: more than {LONGEST} letters", "Write less.")
    return text
