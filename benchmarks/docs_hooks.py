"""What mkdocs needs to build the pages: the help of every verb, and the files that pages link to outside docs/.

    python benchmarks/docs_hooks.py

writes the signatures in docs/reference/api.md anew. mkdocs.yml names this file. Links that work in the repository
(`../../examples/the_post.py`) then work on the site, and there the docstrings take the place of the signatures.
"""

import inspect
import os
import re
import subprocess
import sys
from os.path import normpath, relpath
from pathlib import Path, PurePosixPath
from typing import Any

PROJECT = Path(__file__).parents[1]
LINK = re.compile(r"(\]\()((?:\.\./)+(?!docs/)[^)#\s]+)(\))")
API = re.compile(r"^- `(\w+).*$", re.M)
HELP = "<!-- the help of every verb -->"


def on_files(files: Any, config: Any) -> Any:
    """Add the files outside docs/ that pages link to: model cards as pages, others as they are."""
    from mkdocs.structure.files import File

    for page in list(files.documentation_pages()):
        for target in _outside(page.src_uri, page.content_string):
            uri = _place(target)
            if files.get_file_from_path(uri) is None and (PROJECT / target).is_file():
                content = (PROJECT / target).read_bytes().replace(b"](../../docs/", b"](../")  # of a card
                files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links outside docs/ at the copies, and write out the help of every verb and all docstrings."""
    here = PurePosixPath(page.file.src_uri)

    def point(link: re.Match[str]) -> str:
        target = normpath(f"docs/{here.parent}/{link[2]}")
        if target.startswith("docs/"):
            return link[0]
        return f"{link[1]}{relpath(_place(target), here.parent)}{link[3]}"

    markdown = LINK.sub(point, markdown)
    if here.name == "api.md":
        markdown = API.sub(lambda name: f"::: latentfill.{_home(name[1])}.{name[1]}", markdown)
    return markdown.replace(HELP, _help()) if HELP in markdown else markdown


def write_signatures(markdown: str) -> str:
    """The page with today's signature and first paragraph of every name in its lists."""
    import latentfill

    def describe(name: re.Match[str]) -> str:
        thing = getattr(latentfill, name[1])
        if isinstance(thing, dict):
            return f"- `{name[1]}`: the presets {', '.join(thing)}, by name."
        first = " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())
        return f"- `{name[1]}({_parameters(inspect.signature(thing))})`: {first}"

    return API.sub(describe, markdown)


def _parameters(signature: inspect.Signature) -> str:
    """Names and defaults, without types."""
    names = []
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and "*" not in names:
            names.append("*")
        default = repr(float(f"{one.default:.4g}") if isinstance(one.default, float) else one.default)
        names.append(
            one.name if one.default is one.empty else f"{one.name}={'...' if 'factory' in default else default}"
        )
    return ", ".join(names)


def _home(name: str) -> str:
    from latentfill import _HOME

    return next(module for module, names in _HOME.items() if name in names)


def _outside(page: str, markdown: str) -> list[str]:
    """Paths from the project's root of what `page` links to outside docs/."""
    found = (normpath(f"docs/{PurePosixPath(page).parent}/{link[2]}") for link in LINK.finditer(markdown))
    return [path for path in found if not path.startswith("docs/")]


def _place(target: str) -> str:
    """Where on the site a file of the project lies."""
    return f"cards/{Path(target).name}" if target.startswith("latentfill/models/") else f"source/{target}"


def _help() -> str:
    from latentfill.cli.main import VERBS

    sections = []
    for verb in VERBS:
        command = [sys.executable, "-m", "latentfill", verb, "--help-all"]
        plain = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}
        answer = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
        sections.append(f"## latentfill {verb}\n\n```text\n{answer.stdout.strip()}\n```\n")
    return "\n".join(sections)


if __name__ == "__main__":
    page = PROJECT / "docs" / "reference" / "api.md"
    page.write_text(write_signatures(page.read_text()))
