"""The number formats that a model computes in. Nothing here imports torch, so that settings can name them."""

from typing import Literal

ComputeType = Literal["float32", "bfloat16", "float16", "int8"]
EncoderDtype = Literal["float32", "bfloat16", "float16"]
"""What an encoder's output is made of: float32 in float32, else a type of two bytes."""
ComputeTypeChoice = Literal[ComputeType, "auto"]
"""`auto`: what is fastest on the device, see `linear.py`."""
