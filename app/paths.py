"""Where Hearth keeps its files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from app.files import storage_error

HOME_VARIABLE = "HEARTH_HOME"
_NAME = "Hearth"
_PRIVATE = 0o700


@dataclass(frozen=True, slots=True)
class Paths:
    """Folders, and the files in them that have one owner each. Nothing is created before :meth:`ensure`."""

    data: Path
    config: Path
    cache: Path
    logs: Path
    models: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        """Everything below HEARTH_HOME where that is set, else where the platform wants it."""
        home = environ.get(HOME_VARIABLE, "")
        if home:
            return cls.below(Path(home).expanduser().absolute())
        data = Path(platformdirs.user_data_dir(_NAME, appauthor=False))
        return cls(
            data=data,
            config=Path(platformdirs.user_config_dir(_NAME, appauthor=False)),
            cache=Path(platformdirs.user_cache_dir(_NAME, appauthor=False)),
            logs=Path(platformdirs.user_log_dir(_NAME, appauthor=False)),
            models=data / "models",
        )

    @classmethod
    def below(cls, home: Path) -> Paths:
        return cls(home / "data", home / "config", home / "cache", home / "logs", home / "models")

    @property
    def database(self) -> Path:
        return self.data / "hearth.db"

    @property
    def settings_file(self) -> Path:
        return self.config / "settings.json"

    @property
    def library_file(self) -> Path:
        return self.data / "library.json"

    @property
    def kv_pages(self) -> Path:
        """Pages of the KV cache. It may be deleted at any time; only time is lost."""
        return self.cache / "kv"

    @property
    def log_file(self) -> Path:
        return self.logs / "hearth.log"

    @property
    def crash_file(self) -> Path:
        return self.logs / "crash.log"

    def ensure(self) -> None:
        """Create the folders that are missing, readable by their owner alone.

        All are tried before a StorageError tells about the first that cannot be made.
        """
        errors = [error for folder in self._folders() if (error := _make(folder))]
        if errors:
            raise storage_error(*errors[0])

    def _folders(self) -> tuple[Path, ...]:
        return (self.data, self.config, self.cache, self.logs, self.models)


def _make(folder: Path) -> tuple[OSError, Path] | None:
    try:
        folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    except OSError as error:
        return error, folder
    return None
