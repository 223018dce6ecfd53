"""What the computer is, in words, for reports."""

import platform
from datetime import date
from pathlib import Path


def machine() -> str:
    """When, on what and with what something was measured."""
    import torch

    from ... import __version__

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not on every system
        lines = []
    processor = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return (
        f"{date.today()}, {processor or platform.processor() or platform.machine()}, {torch.get_num_threads()} "
        f"threads, torch {torch.__version__}, Python {platform.python_version()}, latentfill {__version__}"
    )
