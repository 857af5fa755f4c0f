"""Models for those who have no minivae: PyTorch, ONNX, safetensors, NumPy alone, a page of HTML.

Only names are gathered here; program.py says what can leave, and write.py in which files.
"""

from minivae.exporting.write import FORMS, export

__all__ = ["FORMS", "export"]
