"""A repository's card: Markdown by a stranger, with a few facts before it."""

from __future__ import annotations

import re

from app.hub.types import Licence

MAX_CARD_BYTES = 1 << 20
_FRONT_MATTER = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n.*?^---[ \t]*$\r?\n?", re.DOTALL | re.MULTILINE)

_LICENCES = {
    "apache-2.0": ("Apache 2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    "mit": ("MIT", "https://opensource.org/license/mit"),
    "bsd-3-clause": ("BSD 3-Clause", "https://opensource.org/license/bsd-3-clause"),
    "cc-by-4.0": ("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"),
    "cc-by-sa-4.0": ("CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
    "cc-by-nc-4.0": ("CC BY-NC 4.0, not for commercial use", "https://creativecommons.org/licenses/by-nc/4.0/"),
    "cc-by-nc-sa-4.0": (
        "CC BY-NC-SA 4.0, not for commercial use",
        "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    ),
    "gpl-3.0": ("GPL 3.0", "https://www.gnu.org/licenses/gpl-3.0.html"),
    "agpl-3.0": ("AGPL 3.0", "https://www.gnu.org/licenses/agpl-3.0.html"),
    "llama2": ("Llama 2 Community License", None),
    "llama3": ("Llama 3 Community License", None),
    "llama3.1": ("Llama 3.1 Community License", None),
    "llama3.2": ("Llama 3.2 Community License", None),
    "llama3.3": ("Llama 3.3 Community License", None),
    "llama4": ("Llama 4 Community License", None),
    "gemma": ("Gemma Terms of Use", "https://ai.google.dev/gemma/terms"),
    "unknown": ("Unknown", None),
}


def body_of(readme: str) -> str:
    """The card without its front matter."""
    return _FRONT_MATTER.sub("", readme, count=1).strip()


def licence_of(licence_id: str | None, name: str | None, link: str | None) -> Licence | None:
    """``name`` and ``link`` are what a card says about a licence that the hub has no word for."""
    if not licence_id:
        return None
    if licence_id in _LICENCES:
        known, url = _LICENCES[licence_id]
        return Licence(licence_id, known, _web_address(link) or url)
    return Licence(licence_id, (name or licence_id).strip()[:100], _web_address(link))


def _web_address(link: str | None) -> str | None:
    """Nothing but https is opened from a card."""
    text = (link or "").strip()
    return text if text.startswith("https://") and text.isprintable() and " " not in text and len(text) < 500 else None
