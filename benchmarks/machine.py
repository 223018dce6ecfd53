"""What stands above every table: when, where and how it was measured."""

import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch


def heading(title: str) -> str:
    """Three lines: the title, the date and machine, the command."""
    words = [Path(sys.argv[0]).as_posix(), *sys.argv[1:]]
    return (
        f"### {title}\n\n{date.today()}, {processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"Python {platform.python_version()}\n`python {' '.join(words)}`\n"
    )


def processor() -> str:
    """The processor's name, and which of the matrix extensions it has."""
    try:
        text = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return platform.processor() or platform.machine()
    name = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("Model name")), "")
    features = [word for word in ("avx512_bf16", "amx_bf16") if word in text]
    return f"{name} ({', '.join(features) or 'no bf16'})"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [" | ".join(map(str, row)) for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(f"| {line} |" for line in lines)
