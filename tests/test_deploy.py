"""What deploy/ and compose.yaml say is true of the app: settings, routes, commands; and every container is closed."""

from __future__ import annotations

import ipaddress
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask

from screening.settings import ROOT, Settings
from screening.streams.options import StreamOptions

DEPLOY = ROOT / "deploy"
KUBERNETES, SEVERAL = DEPLOY / "kubernetes", DEPLOY / "kubernetes-several"
UNITS = sorted((DEPLOY / "systemd").iterdir())
SETTINGS = {each.metadata["variable"].name for each in (*fields(Settings), *fields(StreamOptions))}
USER = int(re.findall(r"useradd --uid (\d+)", (ROOT / "Dockerfile").read_text("utf-8"))[0])


def manifests(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text("utf-8"))


def of_kind(*kinds: str, folder: Path = KUBERNETES) -> list[dict[str, Any]]:
    return [each for each in manifests(folder) if each["kind"] in kinds]


def server_of() -> dict[str, Any]:
    """The Deployment of the server."""
    (found,) = (each for each in of_kind("Deployment") if each["metadata"]["name"] == "fraud-screening")
    return found


def pods() -> list[dict[str, Any]]:
    """The pods' templates."""
    specs = [each["spec"] for each in of_kind("Deployment")]
    specs += [each["spec"]["jobTemplate"]["spec"] for each in of_kind("CronJob")]
    return [each["template"] for each in specs]


def test_the_kustomization_has_every_manifest_but_the_example_of_the_secret() -> None:
    (made,) = of_kind("Kustomization")
    there = {path.name for path in KUBERNETES.glob("*.yaml")}
    assert set(made["resources"]) == there - {"kustomization.yaml", "secret.example.yaml", "trainer.yaml"}
    # it is named there, for whoever takes it
    assert "# - trainer.yaml" in (KUBERNETES / "kustomization.yaml").read_text("utf-8")
    assert {each["apiVersion"] for each in of_kind("Deployment")} == {"apps/v1"}


def test_settings_are_those_of_the_app() -> None:
    (config,), (secret,) = of_kind("ConfigMap"), of_kind("Secret")
    given = {**config["data"], **secret["stringData"]}
    assert set(given) <= SETTINGS
    found = Settings.from_environ(given)
    assert found.signup == "approval"
    assert all(isinstance(value, str) for value in given.values())
    # the example is to be replaced
    assert all("PASSWORD" in value for value in secret["stringData"].values())


def test_one_pod_has_the_instance() -> None:
    server = server_of()
    assert (server["spec"]["replicas"], server["spec"]["strategy"]) == (1, {"type": "Recreate"})
    # the volume of a pod on another node can't be mounted
    labels = server["spec"]["template"]["metadata"]["labels"]
    assert server["spec"]["selector"]["matchLabels"] == labels
    others = [pod["spec"] for pod in pods() if pod["metadata"]["labels"] != labels]
    assert len(others) == 3
    for spec in others:
        (beside,) = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert beside["labelSelector"]["matchLabels"] == labels
    (service,) = of_kind("Service")
    assert service["spec"]["selector"] == labels
    (policy,) = of_kind("NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_every_pod_keeps_to_podsecurity_restricted() -> None:
    (space,) = of_kind("Namespace")
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    claims = {each["metadata"]["name"] for each in of_kind("PersistentVolumeClaim")}
    (worker,) = (each for each in of_kind("Deployment", folder=SEVERAL) if "selector" in each["spec"])
    for pod in (*pods(), worker["spec"]["template"]):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        user = spec["securityContext"]
        assert user["runAsNonRoot"] is True
        assert user["runAsUser"] == user["fsGroup"] == USER
        assert user["seccompProfile"] == {"type": "RuntimeDefault"}
        volumes = {each["name"]: each for each in spec["volumes"]}
        for container in spec["containers"]:
            closed = container["securityContext"]
            assert closed == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
            mounts = {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}
            assert {"/data", "/tmp"} <= set(mounts)
        used = [each["persistentVolumeClaim"] for each in volumes.values() if "emptyDir" not in each]
        assert {each["claimName"] for each in used} <= claims


def test_several_pods_have_names_and_roles_and_a_volume_that_they_share() -> None:
    (made,), (config,) = (of_kind(kind, folder=SEVERAL) for kind in ("Kustomization", "ConfigMap"))
    assert {*made["resources"], *(each["path"] for each in made["patches"] if "path" in each)} == {
        "../kubernetes",
        *(path.name for path in SEVERAL.glob("*.yaml") if path.name != "kustomization.yaml"),
    }
    assert config["data"] == {"HOSTS": "several"}
    (volume,) = of_kind("PersistentVolumeClaim", folder=SEVERAL)
    assert volume["spec"]["accessModes"] == ["ReadWriteMany"]
    roles = {}
    for each in of_kind("Deployment", folder=SEVERAL):
        assert each["spec"]["replicas"] >= 2
        (container,) = each["spec"]["template"]["spec"]["containers"]
        given = {one["name"]: one for one in container["env"]}
        assert set(given) <= SETTINGS
        assert given["HOST_NAME"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
        roles[each["metadata"]["name"]] = given["ROLE"]["value"]
    assert roles == {"fraud-screening": "web", "fraud-screening-worker": "worker"}
    (worker,) = (each for each in of_kind("Deployment", folder=SEVERAL) if "selector" in each["spec"])
    (server,) = server_of()["spec"]["template"]["spec"]["containers"]
    assert worker["spec"]["template"]["spec"]["containers"][0]["image"] == server["image"]
    policy = of_kind("NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"]
    assert policy.items() <= worker["spec"]["template"]["metadata"]["labels"].items()


def test_no_pod_requests_less_memory_than_it_takes() -> None:
    text = (ROOT / "docs" / "containers.md").read_text("utf-8")
    rows = re.findall(r"^\| ([^|]+) \| (\d+) MB \|$", text, re.MULTILINE)
    measured = {what: int(figure) * 1_000_000 for what, figure in rows}
    asked = {each["name"]: each["resources"] for pod in pods() for each in pod["spec"]["containers"]}
    for name, at_rest, at_work in (
        ("app", "all of the container at rest", "all of the container after that"),
        ("trainer", "trainer at rest", "trainer's container while it trains on 20,000 rows, its highest"),
    ):
        assert size_of(asked[name]["requests"]["memory"]) >= measured[at_rest]
        assert size_of(asked[name]["limits"]["memory"]) >= 2 * measured[at_work]
    assert measured["a web process at rest"] <= 300_000_000


def size_of(text: str) -> int:
    """Return bytes, from a quantity of Kubernetes."""
    return int(text[:-2]) << {"Mi": 20, "Gi": 30}[text[-2:]]


def test_probes_ask_for_routes_under_a_name_that_is_answered(app: Flask) -> None:
    (config,), server = of_kind("ConfigMap"), server_of()
    (container,) = server["spec"]["template"]["spec"]["containers"]
    names = config["data"]["TRUSTED_HOSTS"].split(",")
    image = (ROOT / "Dockerfile").read_text("utf-8")
    assert f"PORT={container['ports'][0]['containerPort']} " in image
    known = {rule.rule for rule in app.url_map.iter_rules()}
    for kind, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
        asked = container[f"{kind}Probe"]["httpGet"]
        assert (asked["path"], asked["port"]) == (path, container["ports"][0]["name"])
        assert path in known
        assert {"name": "Host", "value": names[0]} in asked["httpHeaders"]
    # the commands of jobs and units are the app's
    said = [*(path.read_text("utf-8") for path in UNITS), (KUBERNETES / "backup.yaml").read_text("utf-8")]
    commands = {name for text in said for name in re.findall(r"flask --app app ([a-z]+)", text)}
    (stream,) = (pod for pod in pods() if pod["spec"]["containers"][0]["name"] == "stream")
    commands.add(stream["spec"]["containers"][0]["command"][-1])
    assert commands == {"backup", "stream"} <= set(app.cli.commands)


def test_every_service_of_compose_is_closed() -> None:
    made = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    for name, service in made["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert (
            {each.split(":")[0] for each in service["ports"]} <= {"127.0.0.1"} if "ports" in service else True
        )
    ours = [each for each in made["services"].values() if each.get("image") == "fraud_detection"]
    assert all(set(each["environment"]) <= SETTINGS for each in ours)
    trainers = [each for each in made["services"].values() if each.get("image") == "fraud_detection:training"]
    for server, trainer in zip(ours[:2], trainers, strict=True):
        # the same instance, from an image with more in it
        assert (server["build"]["target"], trainer["build"]["target"]) == ("serving", "training")
        assert trainer["volumes"][0] == server["volumes"][0]
        assert trainer.get("environment", {}).get("DATABASE_URL") == server["environment"].get("DATABASE_URL")
    # without a profile: one that needs nothing else
    assert [name for name, each in made["services"].items() if "profiles" not in each] == ["app"]
    hosts = [each for each in ours if "HOSTS" in each["environment"]]
    said = [(each["environment"]["HOST_NAME"], each["environment"]["ROLE"]) for each in hosts]
    assert said == [("web-1", "web"), ("web-2", "web"), ("jobs", "worker")]
    (network,) = made["networks"]["inside"]["ipam"]["config"]
    for each in hosts:
        assert each["volumes"] == hosts[0]["volumes"]
        usual = {name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", said) for name, said in each["environment"].items()}
        found = Settings.from_environ(usual)
        assert found.several
        assert found.trusted_proxies == (str(ipaddress.ip_network(network["subnet"])),)
    assert ours[0]["volumes"][0] != hosts[0]["volumes"][0], "a server of its own doesn't start on it"
    conf = (DEPLOY / "nginx" / "hosts.conf").read_text("utf-8")
    assert set(re.findall(r"server ([\w-]+):5000", conf)) == {"web-1", "web-2"}
    asked = {f"{name}={value}" for name, value in made["services"]["nginx"]["sysctls"].items()}
    assert asked == set(re.findall(r"net\.ipv4\.\w+=\d+", conf))


def test_nginx_takes_what_the_app_takes() -> None:
    text = (DEPLOY / "nginx" / "nginx.conf").read_text("utf-8")
    assert f"client_max_body_size {Settings().max_upload >> 20}m;" in text
    assert "proxy_request_buffering off;" in text
    assert "server app:5000;" in text


def test_nginx_before_several_hosts_repeats_only_what_may_be_repeated() -> None:
    text = (DEPLOY / "nginx" / "hosts.conf").read_text("utf-8")
    assert f"client_max_body_size {Settings().max_upload >> 20}m;" in text
    twice = [part for part in text.split("location ")[1:] if "non_idempotent" in part]
    assert [part.split(" ", 1)[0] for part in twice] == ["@repeatable", "@patient"]
    # the one way there is a key
    assert 'map "$http_idempotency_key|$content_length" $repeatable' in text
    assert text.count("error_page 418 = @repeatable;") == 1
    # and from there, once no answer has come
    assert text.count("@patient") == 2
    assert "error_page 504 = @patient;" in twice[0]


@pytest.mark.parametrize(
    "unit", [path for path in UNITS if path.suffix == ".service"], ids=lambda path: path.name
)
def test_units_are_closed_and_their_settings_are_the_apps(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text("utf-8")
    for line in (
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "User=fraud",
        "UMask=0077",
    ):
        assert f"\n{line}\n" in text
    for environment in re.findall(r"^Environment=(.*)$", text, re.MULTILINE):
        assert {each.split("=")[0] for each in environment.split()} <= SETTINGS
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing: apt-get install systemd")
    # the program that it names is only there once the app is installed
    copy = tmp_path / unit.name
    copy.write_text(text.replace("/opt/fraud-screening/.venv/bin/python", "/bin/sh"))
    done = subprocess.run(
        ["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
