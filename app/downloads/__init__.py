"""Downloads that survive: resumed, verified, and whole or not there at all."""

from app.downloads.attempt import Options
from app.downloads.service import Downloads
from app.downloads.types import DownloadError, DownloadItem, DownloadState, Finished, NoRoom, Room

__all__ = [
    "DownloadError",
    "DownloadItem",
    "DownloadState",
    "Downloads",
    "Finished",
    "NoRoom",
    "Options",
    "Room",
]
