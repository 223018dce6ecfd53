"""The examples for clusters, as far as they can be checked without one."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from latentfill.cli.configuration import read_options
from latentfill.options.commands import TrainCommand

EXAMPLES = Path(__file__).parents[2] / "examples" / "cluster"
SLURM, KUBERNETES = EXAMPLES / "train.slurm", EXAMPLES / "train-kubernetes.yaml"


def launched(words: list[str]) -> TrainCommand:
    """What the verb makes of its part of a command; torchrun's own must be known to it."""
    from torch.distributed.run import get_args_parser

    at = words.index("torchrun")
    parsed: Any = get_args_parser().parse_args(words[at + 1 :])
    assert parsed.rdzv_backend == "c10d" and parsed.module and parsed.max_restarts == 100
    rest = [word for word in [parsed.training_script, *parsed.training_script_args] if word != "--"]
    assert rest[:2] == ["latentfill", "train"]
    return read_options(TrainCommand, "train", rest[2:])


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_the_slurm_script_is_a_script_and_its_command_is_understood() -> None:
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    command = re.search(r"^srun .*?[^\\]$", SLURM.read_text(), re.M | re.S)
    assert command
    options = launched(shlex.split(command[0].replace("\\\n", " ").replace("$PROCESSES", "4")))
    assert options.train.batch_size % 16 == 0 and options.network.size == 128
    python = SLURM.read_text().split("<<'PYTHON'")[1].split("\n", 1)[1].split("\nPYTHON")[0]
    compile(python, "train.slurm", "exec")


def test_the_kubernetes_job_is_one_and_its_command_is_understood() -> None:
    service, job = yaml.safe_load_all(KUBERNETES.read_text())
    assert service["kind"] == "Service" and job["kind"] == "Job"
    name, pod = job["metadata"]["name"], job["spec"]["template"]["spec"]
    assert service["metadata"]["name"] == pod["subdomain"] and service["spec"]["selector"] == {"job-name": name}
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    options = launched([*container["command"], *container["args"]])
    assert options.data == ("s3://pictures/faces",) and options.train.batch_size % job["spec"]["parallelism"] == 0
    assert f"--rdzv-endpoint={name}-0.{pod['subdomain']}:29500" in container["args"]
    assert all(isinstance(word, str) for word in container["args"])
