"""The model: what the chip, the banner and the composer say of it, and what the picker does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog

from app.library import Source
from engine.errors import ErrorInfo
from engine.events import EngineFailed, LoadFailed, ModelLoaded, ModelLoading, ModelUnloaded
from tests.doubles.engine import make_model_info
from tests.ui.world import DAMAGED, World, make_entry
from ui.chat.model_picker import ModelList, ModelPicker

TINY = "/models/tiny.gguf"


@pytest.fixture
def two_models(make_world: Callable[..., World]) -> World:
    return make_world(make_entry("Tiny"), make_entry("Broken", DAMAGED), make_entry("Other"))


@pytest.fixture
def no_model(make_world: Callable[..., World]) -> World:
    return make_world()


def chip(world: World) -> str:
    content = world.chat.chip.content
    return f"{content.state}: {content.name} {content.detail}".strip()


def paths_loaded(world: World) -> list[str]:
    return [spec.path for spec in world.engine.loads]


def open_picker(world: World) -> ModelPicker:
    world.click(world.chat.chip)
    world.settle()
    picker = world.window.findChild(ModelPicker)
    assert picker.isVisible()
    return picker


def test_a_template_that_is_not_used_is_told(world: World) -> None:
    world.start(loaded=False)
    problem = "The model's chat template has a mistake in line 3. A general template is used in its place."
    world.engine.emit(ModelLoaded(replace(make_model_info(TINY), template_problem=problem)))
    world.settle()

    assert chip(world) == "ready: Tiny Q4_1"
    assert problem in world.told()


def test_the_first_usable_model_loads_by_itself_and_the_chip_follows(world: World) -> None:
    world.start(loaded=False)
    assert paths_loaded(world) == [TINY]
    assert chip(world) == "loading: Tiny loading 0%"

    world.engine.emit(ModelLoading(TINY, 0.42))
    world.settle()
    assert chip(world) == "loading: Tiny loading 42%"

    world.engine.finish_loading(TINY)
    world.settle()
    assert chip(world) == "ready: Tiny Q4_1"


def test_without_any_model_the_page_asks_for_a_file(no_model: World) -> None:
    no_model.start(loaded=False)

    assert chip(no_model) == "empty: No model"
    assert no_model.button("Open a model file")
    no_model.write("Hello")
    assert not no_model.button("Send").isEnabled()


def test_another_model_is_picked_with_the_keyboard(two_models: World) -> None:
    two_models.start()
    models = open_picker(two_models).findChild(ModelList)

    two_models.press(models, Qt.Key.Key_Down)
    two_models.press(models, Qt.Key.Key_Return)
    assert models.isVisible()  # the damaged one can be read and not be loaded
    two_models.press(models, Qt.Key.Key_Down)
    two_models.press(models, Qt.Key.Key_Return)
    two_models.settle()

    assert paths_loaded(two_models) == [TINY, "/models/other.gguf"]
    assert not models.isVisible()


def test_a_file_that_was_added_can_be_taken_out_of_the_list_even_if_it_is_broken(
    make_world: Callable[..., World],
) -> None:
    world = make_world(make_entry("Tiny"), make_entry("Broken", DAMAGED, Source.LINKED))
    world.start()
    models = open_picker(world).findChild(ModelList)

    world.press(models, Qt.Key.Key_Delete)  # Tiny lies in the models folder and stays
    world.press(models, Qt.Key.Key_Down)
    world.press(models, Qt.Key.Key_Delete)
    world.settle()

    assert [entry.name for entry in world.library.entries()] == ["Tiny"]
    assert models.model().rowCount() == 1


def test_escape_closes_the_picker_and_nothing_else(two_models: World) -> None:
    two_models.start()
    picker = open_picker(two_models)

    two_models.press(picker.findChild(ModelList), Qt.Key.Key_Escape)

    assert not picker.isVisible()
    assert len(two_models.engine.loads) == 1


def test_a_failed_load_says_why_and_can_be_tried_again(world: World) -> None:
    world.start(loaded=False)

    world.engine.emit(
        LoadFailed(TINY, ErrorInfo("OutOfMemory", "It needs 9 GB, 4 GB are free.", "Close programs.", "log"))
    )
    world.settle()
    assert chip(world) == "failed: Tiny not loaded"
    assert world.told() == "It needs 9 GB, 4 GB are free. Close programs."

    world.click(world.button("Try again"))
    world.settle()
    assert paths_loaded(world) == [TINY, TINY]
    world.engine.emit(ModelLoading(TINY, 0.0))
    world.settle()
    assert world.told() == ""


def test_details_are_one_click_away_and_can_be_closed(world: World) -> None:
    world.start(loaded=False)
    world.engine.emit(LoadFailed(TINY, ErrorInfo("ModelFileError", "It is damaged.", "", "ggml: bad tensor")))
    world.settle()

    world.click(world.button("Details"))
    details = world.window.focusWidget()
    assert details is not None
    world.click(world.button("Close"))

    assert world.told() == "It is damaged."


def test_an_engine_that_comes_back_by_itself_says_so_until_it_is_read(world: World) -> None:
    world.start()
    died = ErrorInfo("EngineStopped", "The engine stopped unexpectedly.", "", "signal 9")

    world.engine.emit(EngineFailed(TINY, died, restarting=True))
    world.engine.emit(ModelLoading(TINY, 0.0))
    world.settle()
    assert world.told() == "The engine stopped unexpectedly. Hearth loads the model again."
    assert chip(world) == "loading: Tiny loading 0%"

    world.engine.finish_loading(TINY)
    world.settle()
    assert world.told() == "The engine stopped unexpectedly. The model is loaded again, and what was written is kept."
    world.send("Once more")
    assert world.told() == ""


def test_an_engine_that_stays_dead_offers_to_load_again(world: World) -> None:
    world.start()

    world.engine.emit(EngineFailed(TINY, ErrorInfo("EngineStopped", "The engine stopped."), restarting=False))
    world.settle()
    assert "Load it again" in world.chat.composer.blocked_by
    world.click(world.button("Load again"))
    world.settle()

    assert paths_loaded(world) == [TINY, TINY]


def test_a_model_can_be_unloaded(world: World) -> None:
    world.start()
    open_picker(world)

    world.click(world.button("Unload"))
    assert world.engine.unloads == 1
    world.engine.emit(ModelUnloaded(TINY))
    world.settle()

    assert chip(world) == "empty: No model"
    assert "No model is loaded" in world.chat.composer.blocked_by


def test_a_file_is_linked_and_loaded(no_model: World) -> None:
    no_model.start(loaded=False)

    choose_file(no_model, "/elsewhere/mine.gguf")

    assert paths_loaded(no_model) == ["/models/mine.gguf"]
    assert chip(no_model) == "loading: mine loading 0%"


def test_a_file_that_is_no_model_is_refused_in_one_sentence(no_model: World) -> None:
    no_model.start(loaded=False)

    choose_file(no_model, "/elsewhere/notes.txt")

    assert no_model.told() == "notes.txt is not a GGUF file. Choose a file that ends in .gguf."
    assert paths_loaded(no_model) == []


def test_a_model_that_killed_the_last_run_is_not_loaded_by_itself(world: World) -> None:
    world.settings.update(loading_model="tiny")
    world.start(loaded=False)

    assert paths_loaded(world) == []
    assert "the last time" in world.told()
    assert chip(world) == "empty: No model"


def choose_file(world: World, path: str) -> None:
    world.click(world.button("Open a model file"))
    dialog = world.window.findChild(QFileDialog)
    dialog.fileSelected.emit(path)
    dialog.close()
    world.settle()
