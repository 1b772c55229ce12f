"""The volume view: tensors as blocks to scale, drawn from traces alone.

`draw` gives the picture, which a notebook shows, `save` writes it to a file.
"""

from archlab.reports.volume.saving import FORMATS, Picture, draw, save

__all__ = ["FORMATS", "Picture", "draw", "save"]
