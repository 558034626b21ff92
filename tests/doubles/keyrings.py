"""Keyrings that tests can look into."""

from __future__ import annotations


class MemoryKeyring:
    """As the module ``keyring`` on a system that has one."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service_name: str, username: str) -> str | None:
        return self.kept.get((service_name, username))

    def set_password(self, service_name: str, username: str, password: str) -> None:
        self.kept[service_name, username] = password

    def delete_password(self, service_name: str, username: str) -> None:
        del self.kept[service_name, username]


class NoKeyring:
    """As on a system without one."""

    def get_password(self, service_name: str, username: str) -> str | None:
        raise RuntimeError("No recommended backend was available.")

    def set_password(self, service_name: str, username: str, password: str) -> None:
        raise RuntimeError("No recommended backend was available.")

    def delete_password(self, service_name: str, username: str) -> None:
        raise RuntimeError("No recommended backend was available.")


class ForgetfulKeyring(NoKeyring):
    """Takes everything and keeps nothing."""

    def get_password(self, service_name: str, username: str) -> str | None:
        return None

    def set_password(self, service_name: str, username: str, password: str) -> None:
        pass
