from engine.cells import Blob, Cells, KvLayout

__all__ = ["Blob", "Cells", "KvLayout"]
