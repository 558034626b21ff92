from __future__ import annotations

import pytest

from app.cli.gains import Hardware, gains
from engine.backend.devices import Device, EngineBuild


def build(*backends: str) -> EngineBuild:
    devices = tuple(Device(name, name, "gpu", 0, 0, index, name) for index, name in enumerate(backends))
    return EngineBuild("1", "1", "1", (), devices)


@pytest.mark.parametrize(
    ("backends", "hardware", "words"),
    [
        (
            ("CPU",),
            Hardware(nvidia=("RTX 3060",), has_cuda_compiler=True),
            "RTX 3060 is not used: ./run --backend cuda",
        ),
        (("CPU",), Hardware(nvidia=("RTX 3060",)), "install the CUDA toolkit"),
        (("CPU", "Vulkan"), Hardware(nvidia=("RTX 3060",), has_cuda_compiler=True), "./run --backend cuda"),
        (("CPU",), Hardware(has_render_node=True, has_vulkan_tools=True), "./run --backend vulkan compiles"),
        (("CPU",), Hardware(has_render_node=True), "install libvulkan-dev"),
    ],
)
def test_what_is_not_used_is_named_with_what_to_do(backends: tuple[str, ...], hardware: Hardware, words: str) -> None:
    (sentence,) = gains(build(*backends), hardware)
    assert words in sentence
    assert sentence.endswith("as fast as the processor.")


@pytest.mark.parametrize(
    ("backends", "hardware"),
    [
        (("CPU", "CUDA"), Hardware(nvidia=("RTX 3060",), has_render_node=True, has_cuda_compiler=True)),
        (("CPU", "Vulkan"), Hardware(has_render_node=True)),
        (("CPU",), Hardware(has_cuda_compiler=True, has_vulkan_tools=True)),
        (("CPU", "BLAS"), Hardware()),
    ],
)
def test_where_nothing_is_to_be_gained_nothing_is_said(backends: tuple[str, ...], hardware: Hardware) -> None:
    assert gains(build(*backends), hardware) == ()


def test_a_machine_is_looked_at_without_programs_that_it_does_not_have() -> None:
    assert Hardware.of_this_machine({"PATH": "/nowhere"}).nvidia == ()
