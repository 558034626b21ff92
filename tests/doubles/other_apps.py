"""The folders of other apps, rebuilt as they document them, around files that are really there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.doubles.gguf import make_tiny_gguf

MODEL = "application/vnd.ollama.image.model"
PROJECTOR = "application/vnd.ollama.image.projector"
ADAPTER = "application/vnd.ollama.image.adapter"
PARAMS = "application/vnd.ollama.image.params"
COMMIT = "a" * 40


def ollama_blob(store: Path, data: bytes) -> str:
    """Store some bytes, and return their digest as manifests write it."""
    sha256 = hashlib.sha256(data).hexdigest()
    (store / "blobs").mkdir(parents=True, exist_ok=True)
    (store / "blobs" / f"sha256-{sha256}").write_bytes(data)
    return f"sha256:{sha256}"


def ollama_model(store: Path, place: str, layers: dict[str, bytes], *, generation: str = "manifests") -> Path:
    """``place`` is such as ``registry.ollama.ai/library/llama3.2/3b``. Returns the blob of the first layer."""
    digests = {media_type: ollama_blob(store, data) for media_type, data in layers.items()}
    digests[PARAMS] = ollama_blob(store, b'{"stop": ["<|im_end|>"]}')
    described = [
        {"mediaType": media_type, "digest": digest, "size": 1, "from": "/somewhere"}
        for media_type, digest in digests.items()
    ]
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": "sha256:00", "size": 2}
    text = json.dumps({"schemaVersion": 2, "config": config, "layers": described})
    manifest = store / generation / place
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(text)
    return store / "blobs" / next(iter(digests.values())).replace(":", "-")


def lm_studio_model(home: Path, publisher: str, model: str, file: str) -> Path:
    folder = home / "models" / publisher / model
    folder.mkdir(parents=True, exist_ok=True)
    return make_tiny_gguf(folder / file)


def jan_model(data: Path, model_id: str, **fields: str) -> Path:
    """As Jan writes it now: ``model.yml`` beside the file, with paths below the data folder."""
    folder = data / "llamacpp" / "models" / model_id
    folder.mkdir(parents=True, exist_ok=True)
    path = make_tiny_gguf(folder / "model.gguf")
    described = {
        "embedding": "false",
        "model_path": path.relative_to(data).as_posix(),
        "model_sha256": "0" * 64,
        "name": model_id,
        "size_bytes": str(path.stat().st_size),
        **fields,
    }
    (folder / "model.yml").write_text("".join(f"{key}: {value}\n" for key, value in described.items()))
    return path


def hub_model(cache: Path, repo_id: str, file: str, *, commit: str = COMMIT, data: bytes | None = None) -> Path:
    """A blob named by its hash, and a link to it in a snapshot; ``refs/main`` points at the snapshot."""
    repository = cache / f"models--{repo_id.replace('/', '--')}"
    made = repository / "blobs" / "made"
    made.parent.mkdir(parents=True, exist_ok=True)
    if data is None:
        data = make_tiny_gguf(made).read_bytes()
        made.unlink()
    blob = made.with_name(hashlib.sha256(data).hexdigest())
    blob.write_bytes(data)
    path = repository / "snapshots" / commit / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(blob)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(commit)
    return path
