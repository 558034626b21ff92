"""A model made deeper by copies of its blocks: a target for which the model itself is a draft.

    python -m tests.benchmarks.deepened MODEL.gguf OUT.gguf --type F16 --scale 0.05

What a copy adds to the residual stream (``attn_output`` and ``ffn_down``) is scaled: by 0 the deeper model computes
exactly what the model does, at a multiple of the cost; by a little it is another model that mostly agrees.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType, ReaderField, ReaderTensor
from gguf.quants import dequantize, quantize

TYPES = {
    "F32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "F16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "Q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "Q4_1": (GGMLQuantizationType.Q4_1, LlamaFileType.MOSTLY_Q4_1),
    "Q4_0": (GGMLQuantizationType.Q4_0, LlamaFileType.MOSTLY_Q4_0),
}
KEEP = "keep"
_FILE_TYPE = "general.file_type"
_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")
_ADDING = ("attn_output.weight", "ffn_down.weight")


def deepen(source: Path, target: Path, type_name: str, *, times: int = 5, scale: float = 0.0, seed: int = 0) -> Path:
    """Write ``source`` with its blocks ``times`` over, each block followed by its copies, in another type.

    With ``times`` 1 it is only converted. A seed makes the weights of every block random instead: no draft at all.
    The type KEEP leaves the blocks as they are, of whatever type, and copies add nothing.
    """
    if type_name == KEEP and (scale or seed):
        raise ValueError("weights that are kept as they are can neither be scaled nor random")
    reader = GGUFReader(source)
    kind, file_type = TYPES.get(type_name, (None, None))
    writer = GGUFWriter(target, _text(reader.fields["general.architecture"]))
    depth = f"{_text(reader.fields['general.architecture'])}.block_count"
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name not in (depth, "general.architecture", _FILE_TYPE):
            _copy_field(writer, field)
    writer.add_uint32(depth, int(reader.fields[depth].contents()) * times)
    writer.add_file_type(int(reader.fields[_FILE_TYPE].contents()) if file_type is None else file_type)
    random = np.random.default_rng(seed) if seed else None
    for tensor in reader.tensors:
        found = _BLOCK.fullmatch(tensor.name)
        if found is None:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        weights = tensor.data if kind is None else _weights(tensor, random)
        for copy in range(times):
            factor = scale if copy and found[2] in _ADDING else 1.0
            name = f"blk.{int(found[1]) * times + copy}.{found[2]}"
            if kind is None:
                writer.add_tensor(name, weights if factor else np.zeros_like(weights), raw_dtype=tensor.tensor_type)
            elif tensor.tensor_type is GGMLQuantizationType.F32:
                writer.add_tensor(name, weights)
            else:
                writer.add_tensor(name, quantize(weights * np.float32(factor), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _weights(tensor: ReaderTensor, random: np.random.Generator | None) -> npt.NDArray[np.float32]:
    weights = dequantize(tensor.data, tensor.tensor_type)
    if random is None or weights.ndim < 2:
        return weights
    return random.normal(0.0, float(weights.std()), weights.shape).astype(np.float32)


def _text(field: ReaderField) -> str:
    return str(field.contents())


def _copy_field(writer: GGUFWriter, field: ReaderField) -> None:
    item = field.types[1] if field.types[0] is GGUFValueType.ARRAY else None
    writer.add_key_value(field.name, field.contents(), field.types[0], item)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", choices=(*TYPES, KEEP), default="F16")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--scale", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0, help="random weights instead of the model's")
    arguments = parser.parse_args()
    deepen(
        arguments.model,
        arguments.out,
        arguments.type,
        times=arguments.times,
        scale=arguments.scale,
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
