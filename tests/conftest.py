"""What several test files share."""

from pathlib import Path

import pytest

pytest_plugins = ["servers", "api", "jobs", "browser", "youtube", "youtube_figures"]


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights."""
    from untrained import write_untrained_model

    return write_untrained_model(tmp_path_factory.mktemp("models") / "untrained")
