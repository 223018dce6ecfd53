import re
from pathlib import Path

import yaml

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md").read_text()
LAUNCHER, JOB = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))


def test_the_launchers_file_has_what_ray_asks_for_and_no_telemetry():
    assert {"cluster_name", "provider", "auth", "available_node_types", "head_node_type"} <= LAUNCHER.keys()
    nodes = LAUNCHER["available_node_types"]
    assert LAUNCHER["head_node_type"] in nodes and all("node_config" in node for node in nodes.values())
    assert sum(node.get("max_workers", 0) for node in nodes.values()) <= LAUNCHER["max_workers"]
    for kind in ("head", "worker"):
        start = LAUNCHER[f"{kind}_start_ray_commands"][-1]
        assert start.startswith("RAY_USAGE_STATS_ENABLED=0 ray start")


def test_the_job_for_kubernetes_runs_a_command_that_there_is():
    from latentfill.cli.configuration import read_options
    from latentfill.options.commands import CompleteCommand

    assert (JOB["apiVersion"], JOB["kind"]) == ("ray.io/v1", "RayJob")
    verb, *words = JOB["spec"]["entrypoint"].removeprefix("latentfill ").split()
    options = read_options(CompleteCommand, verb, words)
    cluster = JOB["spec"]["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    assert options.where.engine == "ray" and options.where.workers == group["replicas"]
    for part in (cluster["headGroupSpec"], group):
        pod = part["template"]["spec"]
        (container,) = pod["containers"]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert all(mount["name"] in volumes for mount in container["volumeMounts"])
        assert options.out.is_relative_to(container["volumeMounts"][0]["mountPath"])
