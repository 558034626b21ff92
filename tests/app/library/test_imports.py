"""Models of other apps, and of folders, are taken in where they are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from app.jobs import CancelToken
from app.library import App, EntryState, Importer, Library, ModelEntry, Source
from app.library.elsewhere import FINDERS, Jan, LmStudio, Surroundings
from app.paths import Paths
from engine.errors import Cancelled, InvalidRequest
from engine.gguf.summary import FileKind
from tests.doubles.gguf import RawTensor, Typed, make_tiny_gguf
from tests.doubles.other_apps import (
    ADAPTER,
    COMMIT,
    MODEL,
    PROJECTOR,
    hub_model,
    jan_model,
    lm_studio_model,
    ollama_model,
)

LORA = {"blk.0.attn_q.weight.lora_a": RawTensor((64, 4), 0, bytes(1024))}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "user"
    folder.mkdir()
    return folder


@pytest.fixture
def library(paths: Paths) -> Library:
    return Library(paths)


@pytest.fixture
def importer(library: Library, home: Path) -> Importer:
    return Importer(library, Surroundings(home, {}, "linux"))


def tiny_bytes(folder: Path, name: str = "Tiny", **metadata: object) -> bytes:
    path = make_tiny_gguf(folder / "made.gguf", metadata={"general.name": name, **metadata})  # type: ignore[dict-item]
    data = path.read_bytes()
    path.unlink()
    return data


def everything_below(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*") if not path.is_dir()
    }


def only(entries: tuple[ModelEntry, ...]) -> ModelEntry:
    (entry,) = entries
    return entry


class TestOllama:
    def test_a_model_is_linked_under_the_name_that_ollama_gives_it(
        self, importer: Importer, library: Library, paths: Paths, home: Path
    ) -> None:
        store = home / ".ollama" / "models"
        blob = ollama_model(store, "registry.ollama.ai/library/llama3.2/3b", {MODEL: tiny_bytes(home)})
        before = everything_below(store)
        entry = only(importer.import_from(App.OLLAMA).added)
        assert (entry.id, entry.name, entry.path) == ("llama3.2:3b", "llama3.2:3b", blob)
        assert (entry.source, entry.app, entry.architecture) == (Source.LINKED, App.OLLAMA, "llama")
        assert entry.origin is not None
        assert entry.origin.sha256 == blob.name.removeprefix("sha256-")
        assert everything_below(store) == before
        assert list(paths.models.iterdir()) == []
        assert Library(paths).find("llama3.2:3b") == entry
        assert importer.import_from(App.OLLAMA).known == (entry,)
        assert [one.id for one in library.entries()] == ["llama3.2:3b"]

    def test_names_say_the_namespace_and_the_registry_where_they_are_not_the_usual_ones(
        self, importer: Importer, home: Path
    ) -> None:
        store = home / ".ollama" / "models"
        for number, place in enumerate(
            ("registry.ollama.ai/mattw/phi/latest", "hf.co/bartowski/Some-GGUF/Q4_K_M", "ghcr.io/library/x/1")
        ):
            ollama_model(store, place, {MODEL: tiny_bytes(home, name=f"Model {number}")})
        names = {entry.name for entry in importer.import_from(App.OLLAMA).added}
        assert names == {"mattw/phi:latest", "hf.co/bartowski/Some-GGUF:Q4_K_M", "ghcr.io/library/x:1"}

    def test_projectors_and_adapters_of_the_manifest_belong_to_its_model_alone(
        self, importer: Importer, home: Path
    ) -> None:
        store = home / ".ollama" / "models"
        vision = {"general.architecture": "clip", "general.type": "mmproj"}
        layers = {MODEL: tiny_bytes(home), PROJECTOR: tiny_bytes(home, **vision)}
        adapter = make_tiny_gguf(home / "a.gguf", metadata={"general.type": "adapter"}, tensors=LORA)
        layers[ADAPTER] = adapter.read_bytes()
        ollama_model(store, "registry.ollama.ai/library/sees/latest", layers)
        ollama_model(store, "registry.ollama.ai/library/blind/latest", {MODEL: tiny_bytes(home, name="Other")})
        blind, sees = sorted(importer.import_from(App.OLLAMA).added, key=lambda entry: entry.name)
        assert [len(sees.projectors), len(sees.adapters)] == [1, 1]
        assert sees.adapters[0].kind is FileKind.ADAPTER
        assert [blind.projectors, blind.adapters] == [(), ()]

    def test_the_newer_store_and_a_chosen_folder(self, library: Library, home: Path) -> None:
        store = home / "disk" / "ollama"
        place = "registry.ollama.ai/library/new/latest"
        ollama_model(store, place, {MODEL: tiny_bytes(home)}, generation="manifests-v2")
        importer = Importer(library, Surroundings(home, {"OLLAMA_MODELS": f'"{store}"'}, "linux"))
        (app,) = importer.other_apps()
        assert (app.app, app.folder, [one.name for one in app.models]) == (App.OLLAMA, store, ["new:latest"])
        assert not app.models[0].is_known
        importer.import_from(App.OLLAMA)
        assert importer.other_apps()[0].models[0].is_known

    def test_what_is_damaged_there_is_left_out(self, importer: Importer, home: Path) -> None:
        store = home / ".ollama" / "models"
        ollama_model(store, "registry.ollama.ai/library/fine/latest", {MODEL: tiny_bytes(home)})
        folder = store / "manifests" / "registry.ollama.ai" / "library" / "fine"
        (folder / "cut").write_text('{"layers": [')
        (folder / "odd").write_text('{"layers": [{"mediaType": 3}]}')
        evil = {"mediaType": MODEL, "digest": "sha256:../../../../etc/passwd"}
        (folder / "evil").write_text(json.dumps({"layers": [evil]}))
        (folder / "huge").write_bytes(b" " * (2**20 + 1))
        assert [entry.name for entry in importer.import_from(App.OLLAMA).added] == ["fine:latest"]

    def test_a_model_that_ollama_has_removed_is_a_row_that_says_so(
        self, importer: Importer, library: Library, home: Path
    ) -> None:
        store = home / ".ollama" / "models"
        blob = ollama_model(store, "registry.ollama.ai/library/gone/latest", {MODEL: tiny_bytes(home)})
        importer.import_from(App.OLLAMA)
        blob.unlink()
        entry = library.find("gone:latest")
        assert entry.state is EntryState.BROKEN
        assert entry.problem is not None
        assert entry.problem.text == "gone:latest is not there any more; its file belonged to Ollama."
        assert "Import it again from Ollama" in entry.problem.hint

    def test_a_model_that_is_not_whole_is_refused_under_its_name(self, importer: Importer, home: Path) -> None:
        store = home / ".ollama" / "models"
        ollama_model(store, "registry.ollama.ai/library/cut/1b", {MODEL: tiny_bytes(home)[:100_000]})
        (refused,) = importer.import_from(App.OLLAMA).refused
        assert refused.error.text.startswith("cut:1b is incomplete")


class TestLmStudio:
    def test_publisher_and_model_are_its_folders(self, importer: Importer, home: Path) -> None:
        path = lm_studio_model(home / ".lmstudio", "lmstudio-community", "Tiny-GGUF", "Tiny-Q4_K_M.gguf")
        entry = only(importer.import_from(App.LM_STUDIO).added)
        assert (entry.path, entry.name, entry.app) == (path, "Tiny", App.LM_STUDIO)
        assert entry.origin is not None
        assert entry.origin.repo_id == "lmstudio-community/Tiny-GGUF"

    def test_the_older_home_the_pointer_and_the_chosen_folder(self, library: Library, home: Path) -> None:
        around = Surroundings(home, {}, "linux")
        moved, chosen = home / "moved", home / "big-disk" / "llms"
        moved.mkdir()
        (home / ".lmstudio-home-pointer").write_text(f"{moved}\n")
        (moved / "settings.json").write_text(json.dumps({"downloadsFolder": str(chosen)}))
        folders = LmStudio().folders(around)
        assert folders == [
            chosen,
            moved / "models",
            home / ".lmstudio" / "models",
            home / ".cache" / "lm-studio" / "models",
        ]
        lm_studio_model(home / ".cache" / "lm-studio", "old", "Old-GGUF", "old.gguf")
        assert [entry.name for entry in Importer(library, around).import_from(App.LM_STUDIO).added] == ["old"]

    def test_a_projector_stands_with_its_model(self, importer: Importer, home: Path) -> None:
        lm_studio_model(home / ".lmstudio", "a", "Sees-GGUF", "sees.gguf")
        vision = {"general.architecture": "clip", "clip.vision.projection_dim": 64}
        make_tiny_gguf(home / ".lmstudio" / "models" / "a" / "Sees-GGUF" / "mmproj-f16.gguf", metadata=vision)
        imported = importer.import_from(App.LM_STUDIO)
        assert imported.refused == ()
        assert [one.path.name for one in only(imported.added).projectors] == ["mmproj-f16.gguf"]


class TestJan:
    def test_the_layout_of_today(self, importer: Importer, home: Path) -> None:
        data = home / ".local" / "share" / "Jan" / "data"
        path = jan_model(data, "janhq/Jan-v1-4B-Q4_K_M", name='"Jan: v1"')
        entry = only(importer.import_from(App.JAN).added)
        assert (entry.path, entry.name, entry.app) == (path, "Jan: v1", App.JAN)

    def test_an_absolute_path_and_a_projector(self, importer: Importer, home: Path, elsewhere: Path) -> None:
        data = home / ".local" / "share" / "Jan" / "data"
        model = make_tiny_gguf(elsewhere / "own.gguf")
        vision = {"general.architecture": "clip", "general.type": "mmproj"}
        projector = make_tiny_gguf(elsewhere / "eyes.gguf", metadata=vision)
        jan_model(data, "own", model_path=str(model), mmproj_path=f"'{projector}'").unlink()
        entry = only(importer.import_from(App.JAN).added)
        assert (entry.path, [one.path for one in entry.projectors]) == (model, [projector])

    def test_the_layouts_of_before(self, home: Path) -> None:
        data = home / "jan"
        second, first = data / "models" / "cortex.so" / "tiny", data / "models" / "trinity-v1"
        for folder in (second, first):
            folder.mkdir(parents=True)
        make_tiny_gguf(second / "model.gguf")
        (second / "model.yml").write_text(
            "name: Tiny # as it says\nfiles:\n  - models/cortex.so/tiny/model.gguf\nstop:\n  - files: x\n"
        )
        make_tiny_gguf(first / "trinity.gguf")
        sources = [{"filename": "trinity.gguf", "url": "https://example.com/trinity.gguf"}]
        (first / "model.json").write_text(json.dumps({"id": "trinity-v1", "name": "Trinity", "sources": sources}))
        assert [(model.name, model.path) for model in Jan().models(data)] == [
            ("Tiny", second / "model.gguf"),
            ("Trinity", first / "trinity.gguf"),
        ]

    def test_the_data_folder_that_the_user_chose(self, home: Path) -> None:
        base = home / "AppData" / "Roaming" / "Jan"
        base.mkdir(parents=True)
        (base / "settings.json").write_text(json.dumps({"data_folder": "/mnt/jan"}))
        assert Jan().folders(Surroundings(home, {}, "win32"))[:2] == [Path("/mnt/jan"), base / "data"]
        mac = Jan().folders(Surroundings(home, {}, "darwin"))
        assert mac[0] == home / "Library" / "Application Support" / "Jan" / "data"


class TestHubCache:
    def test_a_snapshot_is_linked_with_its_commit_and_hash(self, importer: Importer, home: Path) -> None:
        cache = home / ".cache" / "huggingface" / "hub"
        path = hub_model(cache, "bartowski/Tiny-GGUF", "sub/Tiny-Q8_0.gguf")
        entry = only(importer.import_from(App.HUB_CACHE).added)
        assert (entry.path, entry.name) == (path, "Tiny")
        assert entry.origin is not None
        assert (entry.origin.repo_id, entry.origin.commit, entry.origin.file) == (
            "bartowski/Tiny-GGUF",
            COMMIT,
            "sub/Tiny-Q8_0.gguf",
        )
        assert entry.origin.sha256 == path.resolve().name

    def test_a_file_of_two_snapshots_is_one_model_of_the_main_one(self, importer: Importer, home: Path) -> None:
        cache = home / ".cache" / "huggingface" / "hub"
        data = tiny_bytes(home)
        hub_model(cache, "a/b", "x.gguf", commit="b" * 40, data=data)
        path = hub_model(cache, "a/b", "x.gguf", commit="c" * 40, data=data)
        assert only(importer.import_from(App.HUB_CACHE).added).path == path

    def test_the_cache_may_be_elsewhere(self, library: Library, home: Path) -> None:
        hub_model(home / "hf" / "hub", "a/b", "x.gguf")
        hub_model(home / "direct", "c/d", "y.gguf")
        environ = {"HF_HOME": str(home / "hf"), "HF_HUB_CACHE": str(home / "direct")}
        apps = Importer(library, Surroundings(home, environ, "linux")).other_apps()
        assert [app.folder for app in apps] == [home / "direct", home / "hf" / "hub"]

    def test_a_download_that_broke_off_cannot_be_chosen(self, importer: Importer, home: Path) -> None:
        path = hub_model(home / ".cache" / "huggingface" / "hub", "a/b", "x.gguf")
        path.resolve().rename(path.resolve().with_suffix(".incomplete"))
        ((model,),) = [app.models for app in importer.other_apps()]
        assert model.problem is not None
        assert importer.import_from(App.HUB_CACHE).refused[0].path == path


class TestChoosing:
    def test_no_app_is_here(self, importer: Importer) -> None:
        assert importer.other_apps() == ()
        assert importer.import_from(App.OLLAMA).added == ()

    def test_a_folder_without_models_is_told(self, importer: Importer, home: Path) -> None:
        with pytest.raises(InvalidRequest, match="No models of Jan are in"):
            importer.import_from(App.JAN, home)

    def test_some_of_an_apps_models(self, importer: Importer, home: Path) -> None:
        wanted = lm_studio_model(home / ".lmstudio", "a", "A-GGUF", "a.gguf")
        lm_studio_model(home / ".lmstudio", "a", "B-GGUF", "b.gguf")
        assert [entry.path for entry in importer.import_from(App.LM_STUDIO, paths=[wanted]).added] == [wanted]

    def test_every_finder_survives_a_folder_of_something_else(self, home: Path) -> None:
        (home / "models--x").write_text("no folder")
        (home / "manifests").mkdir()
        for finder in FINDERS:
            assert finder.models(home) == []
            assert finder.models(home / "missing") == []


class TestPaths:
    def test_files_and_folders_together(self, importer: Importer, elsewhere: Path) -> None:
        folder = elsewhere / "many" / "deep"
        folder.mkdir(parents=True)
        paths = [make_tiny_gguf(folder / "a.gguf"), make_tiny_gguf(folder / "b.gguf")]
        single = make_tiny_gguf(elsewhere / "c.gguf")
        empty = elsewhere / "empty"
        empty.mkdir()
        seen: list[tuple[int, int]] = []
        imported = importer.import_paths(
            [elsewhere / "many", single, empty], lambda done, total: seen.append((done, total))
        )
        assert [entry.path for entry in imported.added] == [*paths, single]
        assert [refused.path for refused in imported.refused] == [empty]
        assert seen == [(1, 3), (2, 3), (3, 3)]

    def test_one_broken_file_does_not_keep_the_others_out(self, importer: Importer, elsewhere: Path) -> None:
        make_tiny_gguf(elsewhere / "a.gguf", truncate_to=3000)
        make_tiny_gguf(elsewhere / "b.gguf")
        imported = importer.import_paths([elsewhere])
        assert [entry.id for entry in imported.added] == ["b"]
        assert "incomplete" in imported.refused[0].error.text

    def test_what_was_taken_before_it_was_cancelled_stays(
        self, importer: Importer, library: Library, elsewhere: Path
    ) -> None:
        for name in "abc":
            make_tiny_gguf(elsewhere / f"{name}.gguf")
        cancel = CancelToken()
        with pytest.raises(Cancelled):
            importer.import_paths([elsewhere], lambda *_: cancel.cancel(), cancel)
        assert [entry.id for entry in library.entries()] == ["a"]

    def test_a_part_brings_its_model(self, importer: Importer, elsewhere: Path) -> None:
        parts = [elsewhere / f"big-{number:05d}-of-00002.gguf" for number in (1, 2)]
        for number, path in enumerate(parts):
            make_tiny_gguf(path, metadata={"split.no": Typed("u16", number), "split.count": Typed("u16", 2)})
        assert [entry.parts for entry in importer.import_paths([parts[1], parts[0]]).added] == [tuple(parts)]

    def test_an_adapter_goes_to_its_model_or_is_refused(
        self, importer: Importer, library: Library, paths: Paths, elsewhere: Path
    ) -> None:
        metadata = {"general.type": "adapter", "general.base_model.0.name": "Tiny"}
        adapter = make_tiny_gguf(elsewhere / "pirate-lora-f16.gguf", metadata=metadata, tensors=LORA)
        (refused,) = importer.import_paths([adapter]).refused
        assert "is an adapter (LoRA) for Tiny, and no model that it fits is here" in refused.error.text
        make_tiny_gguf(paths.models / "tiny.gguf")
        base = only(importer.import_paths([adapter]).known)
        assert [(one.name, one.path) for one in base.adapters] == [("pirate lora", adapter)]
        adapter.unlink()
        assert library.find("tiny").adapters == ()
        assert library.find("pirate-lora-f16").problem is not None
        library.remove_companion(adapter)
        assert [entry.id for entry in library.entries()] == ["tiny"]

    def test_an_adapter_of_another_shape_fits_no_model(self, importer: Importer, paths: Paths, elsewhere: Path) -> None:
        make_tiny_gguf(paths.models / "tiny.gguf")
        wide = {"blk.0.attn_q.weight.lora_a": RawTensor((128, 4), 0, bytes(2048))}
        adapter = make_tiny_gguf(elsewhere / "wide.gguf", metadata={"general.type": "adapter"}, tensors=wide)
        deep = {"blk.2.attn_q.weight.lora_a": RawTensor((64, 4), 0, bytes(1024))}
        deeper = make_tiny_gguf(elsewhere / "deep.gguf", metadata={"general.type": "adapter"}, tensors=deep)
        assert len(importer.import_paths([adapter, deeper]).refused) == 2

    @pytest.mark.skipif(not hasattr(os, "symlink"), reason="links")
    def test_two_ways_to_one_file_are_one_model(self, importer: Importer, elsewhere: Path) -> None:
        path = make_tiny_gguf(elsewhere / "a.gguf")
        (elsewhere / "b.gguf").symlink_to(path)
        imported = importer.import_paths([elsewhere])
        assert [entry.id for entry in imported.added] == ["a"]
