"""Shapes without running anything: shape functions of the layers and functions that networks consist of.

Running BatchNorm on the meta device takes 800 us and a ReLU 330, since both are written in Python there. A shape
function works the result's shape out by a formula and makes an empty tensor, which takes 3 us. A test holds that it
gives the rows that torch gives.

Why there is this second way beside torch's own: remembering in its place what torch itself found, by operation,
shapes, strides, types and numbers, was measured on 2026-11-26. A network is traced once, and many of its layers have
shapes of their own (261 of DenseNet-121's 547 operations), each of which torch must run. How many times as fast as
torchinfo the table is made, over torchvision's 80 classification models (`python -m benchmarks.tracing --repeat 1`,
taking turns):

    | results                                    | geometric mean | worst |
    | shape functions                            | 12.6           | 1.5   |
    | remembered, a dispatched operation each    | 7.5            | 0.7   |
    | remembered, a module or function each      | 7.4            | 0.7   |
    | the same two, tracing a model again        | 10.3 and 10.4  | 1.3   |
    | neither: everything runs as it is          | 4.7            | 0.5   |

Importing this package registers all shape functions.
"""

from archlab.tracing.quick import functions, layers, pooling, recurrent

__all__ = ["functions", "layers", "pooling", "recurrent"]
