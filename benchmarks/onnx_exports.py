"""What archlab counts of torchvision's networks, and of the ONNX files that torch's exporters make of them.

    python -m benchmarks.onnx_exports [--exporter torchscript|torchscript-folded|dynamo|dynamo-folded] [NETWORK ...]

A line per network: its MACs, parameters and elementwise operations by `archlab.trace`, and how far the file's are from
them. `folded` files have BatchNorm folded into the convolution before it, as exporters do by default: such a pair has a
bias per channel instead of a scale and a shift, or, where the convolution had a bias, two numbers per channel fewer.
The column `derived` has the difference that follows from this, and from heads that run in training alone; the two must
agree where nothing else was rewritten. What else the exporters rewrite: SiLU becomes a sigmoid and a product (one
elementwise operation more per element), attention scales queries and keys instead of their products, and in files that
are folded a table of relative positions, looked up by stored indices, is a stored result (Swin, MaxViT).
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from pathlib import Path

import torch
import torchvision
from torch import nn

import archlab
from archlab.networks import resolve
from archlab.records import Trace

EXPORTERS = ("torchscript", "torchscript-folded", "dynamo", "dynamo-folded")
FAMILIES = (
    *("alexnet", "squeezenet1_1", "shufflenet_v2_x0_5", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "resnet18"),
    *("resnet50", "googlenet", "regnet_y_400mf", "efficientnet_b0", "densenet121", "resnext50_32x4d", "inception_v3"),
    *("vgg11_bn", "wide_resnet50_2", "convnext_tiny", "vit_b_16", "swin_t", "swin_v2_t", "maxvit_t"),
)
"""One of each family of torchvision's classification networks, small ones first."""


def export(network: nn.Module, inputs: torch.Tensor, path: Path, exporter: str) -> None:
    """Writes a network as ONNX."""
    kind, _, folded = exporter.partition("-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "torchscript":
            mode = torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.PRESERVE
            torch.onnx.export(
                network, (inputs,), str(path), dynamo=False, training=mode, do_constant_folding=bool(folded)
            )
            return
        program = torch.onnx.export(network, (inputs,), dynamo=True, verbose=False, optimize=bool(folded))
        assert program is not None
        program.save(str(path), external_data=True)


def randomise(network: nn.Module) -> None:
    """Gives biases and statistics numbers of their own, as training does: exporters store equal tensors once."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point() and (tensor.dim() == 1 or tensor.min() == tensor.max()):
            nn.init.uniform_(tensor, 0.5, 1.5)


def derived(network: nn.Module, before: Trace, after: Trace) -> int:
    """The parameters that aren't in the file: of modules that don't run (heads for training), and of normalisations
    that were folded away, less the biases that they became.
    """
    kept = {layer.path for layer in after.layers if "BatchNorm" in layer.kind}
    modules = dict(network.named_modules())
    change, last = 0, None
    unused: list[str] = []
    for layer in before.layers:
        if layer.call == 0:
            if not any(layer.path.startswith(f"{path}.") for path in unused):
                change -= layer.parameters
                unused.append(layer.path)
            continue
        module = modules.get(layer.path)
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and layer.path not in kept:
            has_bias = last is not None and getattr(last, "bias", None) is not None
            change -= module.num_features * (2 if has_bias else 1)
        last = module if isinstance(module, nn.modules.conv._ConvNd | nn.Linear) else last
    return change


def measure(name: str, exporter: str) -> str:
    """A line of the table."""
    source = f"torchvision:{name}"
    before = archlab.trace(source)
    network = resolve(source).build().eval()
    randomise(network)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        try:
            export(network, torch.zeros(before.inputs[0]), path, exporter)
        except Exception as error:  # whatever the exporter can't do is no finding about archlab
            return f"{name:20} can't be exported: {type(error).__name__}: {str(error).splitlines()[0][:70]}"
        exported = time.perf_counter()
        after = archlab.trace(str(path))
    read = time.perf_counter()
    first, second = before.totals, after.totals
    change = derived(network, before, after)
    return (
        f"{name:20} {first.macs:14,} {second.macs - first.macs:+12,} {first.parameters:12,} "
        f"{second.parameters - first.parameters:+9,} {change:+9,} {first.elementwise:12,} "
        f"{second.elementwise - first.elementwise:+12,} {sum(second.uncounted_operations.values()):5} "
        f"{exported - started:6.1f} {read - exported:5.1f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="default: one of each family; all for every one that there is")
    parser.add_argument("--exporter", choices=EXPORTERS, default=EXPORTERS[0])
    arguments = parser.parse_args()
    names = arguments.networks or FAMILIES
    if names == ["all"]:
        names = torchvision.models.list_models(module=torchvision.models)
    logging.disable(logging.WARNING)
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, {arguments.exporter}")
    print(
        f"{'network':20} {'MACs':>14} {'difference':>12} {'parameters':>12} {'diff.':>9} {'derived':>9} "
        f"{'elementwise':>12} {'difference':>12} {'unc.':>5} {'export':>6} {'read':>5}"
    )
    for name in names:
        print(measure(name, arguments.exporter), flush=True)


if __name__ == "__main__":
    main()
