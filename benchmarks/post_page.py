"""The pictures, numbers and code of docs/explanation/from-the-post.md, made by running examples/the_post.py.

    python benchmarks/post_page.py

trains its GAN on drawn faces, completes eight others, and writes what the page shows, in about ten minutes on one core.
"""

import argparse
import ast
import re
import sys
from pathlib import Path

import torch
from machine import heading, table
from PIL import Image
from torch import Tensor

PROJECT = Path(__file__).parents[1]
POST = PROJECT / "examples" / "the_post.py"
PAGE = PROJECT / "docs" / "explanation" / "from-the-post.md"
sys.path.append(str(POST.parent))
import the_post as post  # noqa: E402

CODE = re.compile(r"(<!-- code: (\w+) -->\n```python\n).*?(```\n)", re.S)
NUMBERS = re.compile(r"(<!-- numbers -->\n).*?(<!-- end -->\n)", re.S)
SEARCHES = (0, 10, 100, 300)  # steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    torch.set_num_threads(1)
    page = write_code(PAGE.read_text())
    numbers = draw(PROJECT / "docs" / "pictures", 4096, 800, SEARCHES)
    PAGE.write_text(NUMBERS.sub(lambda found: f"{found[1]}{numbers}{found[2]}", page))


def write_code(page: str) -> str:
    """The page with the definitions that it names as they are in the file today."""
    source = POST.read_text()
    lines = source.splitlines(keepends=True)
    found = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}

    def insert(block: re.Match[str]) -> str:
        node = found[block[2]]
        return block[1] + "".join(lines[node.lineno - 1 : node.end_lineno]) + block[3]

    return CODE.sub(insert, page)


def draw(folder: Path, count: int, steps: int, searches: tuple[int, ...]) -> str:
    """Write the page's pictures into a folder. Returns its table: what each length of the search comes to."""
    faces = post.draw_faces(count, seed=0)
    save([faces[:8]], folder / "post-faces.png")
    torch.manual_seed(0)
    early, _ = post.train(faces, max(1, steps // 20))
    torch.manual_seed(0)
    generator, discriminator = post.train(faces, steps)
    torch.manual_seed(1)
    z = post.sample_latents(8)
    with torch.no_grad():
        save([early(z), generator(z)], folder / "post-samples.png")
    y, mask = post.draw_faces(8, seed=1), torch.ones(8, 1, post.SIZE, post.SIZE)
    mask[:, :, post.SIZE // 4 : 3 * post.SIZE // 4, post.SIZE // 4 : 3 * post.SIZE // 4] = 0
    images: list[Tensor] = []  # G(z) of every step; the last is that of the completion
    generator.register_forward_hook(lambda module, given, made: images.append(made.detach()))
    rows: list[tuple[str, Tensor]] = []
    for number in searches:
        torch.manual_seed(2)
        completed = post.complete(generator, discriminator, y, mask, number)
        rows.append((f"{number} steps", images[-1]))
    mean = faces.mean(0, keepdim=True).expand_as(y)
    save([y, mask * y + (1 - mask), images[-1], completed], folder / "post-completed.png")
    errors = [
        (name, *(f"{measure(image, y, where):.0f}" for where in (mask, 1 - mask)))
        for name, image in [*rows, ("the mean of all faces", mean)]
    ]
    head = ("G(ẑ) after", "error of the known pixels", "error in the hole")
    return f"{heading('Eight faces that were not trained on')}\n{table(head, errors)}\n"


def measure(image: Tensor, y: Tensor, where: Tensor) -> float:
    """The mean absolute error where `where` is 1, in grey levels of 255."""
    return float(((image - y).abs() * where).sum() / (3 * where.sum())) * 127.5


def save(rows: list[Tensor], path: Path) -> None:
    """Rows of images as one small picture, twice enlarged."""
    post.save_grid(rows, path)
    with Image.open(path) as large:
        half = large.resize((large.width // 2, large.height // 2), Image.Resampling.NEAREST)
    half.save(path, optimize=True)


if __name__ == "__main__":
    main()
