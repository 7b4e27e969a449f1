"""What all tests share."""

from __future__ import annotations

import gc
import os
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples each time in the gate; more of them, and new ones, by hand with HYPOTHESIS_PROFILE=wide. How long an
# example may take is not asked: other tests run at the same time.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("gate", UNTIMED, derandomize=True, max_examples=100)
settings.register_profile("wide", UNTIMED, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


SHOWN = (
    "quart quart-trio hypercorn trio h11 h2 wsproto attrs cattrs orjson pydantic msgspec limits httpx2 openai pytest"
)

SLOWEST = [
    "fuzz/test_wire.py",
    "faults/test_chaos.py",
    "integration/test_clients_in_browser.py",
    "integration/test_javascript.py",
    "neighbours/test_asgi_wrappers.py",
    "integration/test_react_in_browser.py",
    "integration/test_browser.py",
    "fuzz/test_requests.py",
    "faults/test_memory.py",
    "integration/test_client.py",
    "faults/test_shutdown.py",
    "integration/test_vue_example.py",
]


def pytest_report_header() -> str:
    """Print the releases that are tested."""
    return "releases: " + ", ".join(f"{package} {version(package)}" for package in SHOWN.split())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slowest files: a worker of pytest-xdist takes a file at a time, and none shall end long after."""
    order = {Path(__file__).parent / name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: (order.get(item.path, len(order)), item.path.parent.name in ("unit", "property")))


def pytest_collection_finish() -> None:
    """Spare every later collection the walk through all that was imported: tests collect hundreds of times."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own settings reaches a test."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    options = ["-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command = ["openssl", "req", "-x509", *options, "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return str(key), str(cert)
