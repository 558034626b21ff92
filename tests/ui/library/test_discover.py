"""Finding models, and the page of a repository."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt

from app.downloads import DownloadState
from app.hub import TokenPlace
from engine.errors import ErrorInfo
from tests.doubles.hub_server import Fault, HubServer
from tests.ui.focus_stops import unnamed, without_tab
from tests.ui.library.shop import Shop
from tests.ui.world import World, make_entry
from ui.library.view import DOWNLOADS, MODELS
from ui.widgets.overlay import Sheet
from ui.widgets.rail import ProgressSign


def test_before_a_search_it_recommends_models_for_this_machine(shop: Shop) -> None:
    shop.until(lambda: len(shop.rows()) > 3)

    assert shop.view.discover.finder.heading() == "Recommended for this machine"
    assert "GB RAM" in shop.said(shop.finder)


def test_a_search_lists_what_was_found_and_what_it_will_do_here(shop: Shop) -> None:
    shop.search("tiny")

    shop.until(lambda: shop.rows() == ["Tiny-GGUF"])
    shop.until(lambda: shop.verdict(0) is not None)
    assert "fits in memory" in (shop.verdict(0) or "")


def test_only_the_last_of_what_was_typed_is_asked_for(shop: Shop) -> None:
    shop.search("tiny")
    shop.until(lambda: shop.rows() == ["Tiny-GGUF"])

    asked = [heard.query["search"] for heard in shop.hub.heard if "search" in heard.query]
    assert asked == [["tiny"]]


def test_nothing_found_says_so_and_what_to_do(shop: Shop) -> None:
    shop.search("qqqq")

    shop.until(lambda: "Nothing was found." in shop.said(shop.finder))
    assert "fewer words" in shop.said(shop.finder)


def test_a_rate_limit_says_how_long_and_offers_to_try_again(shop: Shop) -> None:
    shop.hub.api_faults += [Fault(status=429, headers={"Retry-After": "30"})] * 8
    shop.search("tiny")

    shop.until(lambda: "too many requests" in shop.said(shop.finder))
    assert "30 seconds" in shop.said(shop.finder)
    shop.hub.api_faults.clear()
    shop.world.click(shop.view.discover.finder.note.action)
    shop.until(lambda: shop.rows() == ["Tiny-GGUF"])


def test_offline_it_shows_what_is_here(make_world: Callable[..., World]) -> None:
    shop = Shop(make_world(make_entry()), _Nobody())  # type: ignore[arg-type]  # only its address is asked for
    shop.search("tin")

    shop.until(lambda: shop.rows() == ["Tiny"])
    assert "does not answer" in shop.said(shop.finder)
    assert "Below is what is on this machine." in shop.said(shop.finder)
    shop.world.press(shop.view.discover.finder.search, Qt.Key.Key_Down)
    shop.until(lambda: shop.view.place == MODELS)


class _Nobody:
    endpoint = "http://127.0.0.1:9"


def test_a_repository_shows_its_files_verdicts_and_card(shop: Shop) -> None:
    shop.find("tiny", "Tiny-GGUF")
    page = shop.view.discover.repository

    shop.until(lambda: all("fits in memory" in row.text() for row in shop.files()))
    assert [row.text().partition(",")[0] for row in shop.files()] == ["Q4_K_M", "Q8_0"]
    assert "recommended" in shop.files()[0].text()
    assert "recommended" not in shop.files()[1].text()
    assert "Apache 2.0" in page.facts.text()
    assert page.plan.isVisible()
    shop.until(lambda: "small" in page.card.text)
    assert {heard.path.rpartition("/")[2] for heard in shop.hub.heard if heard.path.endswith(".png")} == set()


def test_links_of_a_card_are_shown_before_they_are_opened(shop: Shop) -> None:
    shop.find("tiny", "Tiny-GGUF")
    page = shop.view.discover.repository
    page.card.link_activated.emit("https://example.org/paper")

    assert "https://example.org/paper" in shop.said(shop.world.window.findChild(Sheet))
    page.card.link_activated.emit("file:///etc/passwd")
    assert len(shop.world.window.findChildren(Sheet)) == 1


def test_getting_a_file_is_seen_everywhere_and_ends_on_this_machine(shop: Shop) -> None:
    shop.find("tiny", "Tiny-GGUF")
    shop.world.click(shop.files()[0].get)

    shop.until(lambda: shop.states() == [DownloadState.DONE])
    shop.until(lambda: "here" in shop.files()[0].text())
    shop.view.open_place(DOWNLOADS)
    shop.until(lambda: "Finished" in shop.view.downloads.rows()[0].text)
    assert shop.world.window.findChild(ProgressSign).accessibleDescription() == ""


def test_a_gated_repository_says_what_to_do_and_opens_with_a_token(shop: Shop) -> None:
    shop.find("gated", "Gated-GGUF")
    gate = shop.view.discover.repository.gate
    assert "accepted its licence" in gate.text
    assert not shop.files()[0].get.isEnabled()

    gate.token.line.setText("hf_bad")
    shop.world.click(gate.sign_in)
    shop.until(lambda: "does not accept the access token" in gate.text)

    gate.token.line.setText("hf_good")
    shop.world.click(gate.sign_in)
    shop.until(lambda: gate.isHidden() and shop.files()[0].get.isEnabled())
    assert shop.world.hub.account().place is TokenPlace.KEYRING
    assert gate.token.line.text() == ""


def test_without_a_keyring_it_asks_where_to_keep_the_token(shop: Shop) -> None:
    gate = shop.view.discover.repository.gate
    shop.find("gated", "Gated-GGUF")
    gate.show_problem(ErrorInfo("KeyringUnavailable", "There is no keyring."), offers_places=True)
    gate.token.line.setText("hf_good")
    shop.world.click(gate.for_this_run)

    shop.until(gate.isHidden)
    assert shop.world.hub.account().place is TokenPlace.RUN


def test_weights_that_could_become_gguf_are_said_to_be_such(shop: Shop, hub: HubServer) -> None:
    hub.repos["maker/Weights"].info["config"] = {"architectures": ["LlamaForCausalLM"]}
    shop.view.discover.finder.runnable.setChecked(False)
    shop.find("weights", "Weights")

    assert "can become GGUF, but not in this version" in shop.said(shop.view.discover.repository)


def test_the_keyboard_leads_through_search_results_and_page_and_back(shop: Shop) -> None:
    with shop.world.qtbot.waitActive(shop.world.window):
        shop.world.window.activateWindow()
    shop.find("tiny", "Tiny-GGUF")
    finder, page = shop.view.discover.finder, shop.view.discover.repository
    shop.world.press(finder.list, Qt.Key.Key_Return)
    assert shop.files()[0].get.hasFocus()

    shop.world.press(page, Qt.Key.Key_Escape)
    assert finder.list.hasFocus()
    shop.world.press(finder.list, Qt.Key.Key_Up)
    assert finder.search.hasFocus()
    finder.list.setFocus()
    shop.world.press(finder.list, Qt.Key.Key_Slash)
    assert finder.search.hasFocus()


@pytest.mark.parametrize("place", range(3))
def test_everything_that_takes_the_focus_has_a_name(shop: Shop, place: int) -> None:
    shop.find("gated", "Gated-GGUF")
    shop.view.open_place(place)
    shop.settle()

    assert unnamed(shop.world.window) == []
    assert without_tab(shop.world.window) == []
