"""A fresh embedded cluster per test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.embedded import Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Ends what a test leaves running, however it ends."""
    cluster = Cluster.below(tmp_path)
    yield cluster
    cluster.cancel_all()
