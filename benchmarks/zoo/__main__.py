"""Trace networks of many libraries, and hold each against torch's own counter.

    python -m benchmarks.zoo [--library A,B] [--name TEXT] [--only-failures] [--list]

Every network is built from its configuration with random weights, called with what its tokenizer or processor gives
(masks included), and traced once. Held: the parameters are `sum(p.numel())`; the MACs are those of `FlopCounterMode`,
on the meta device where the network runs there, or the difference is the sum of rows whose cause is known; the network
is afterwards what it was (configuration, `state_dict()`, modes, hooks, one forward pass with a fixed seed). A library
that isn't installed is skipped, with the reason. Leaves with 1 where more than three networks fail.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import warnings

import torch

from benchmarks.zoo.entry import Entry
from benchmarks.zoo.measuring import Finding, measure
from benchmarks.zoo.networks import ENTRIES

ALLOWED_FAILURES = 3
GARBAGE_EVERY = 10
"""Networks; modules hold each other in circles, and a collection takes as long as a small network."""


def main() -> int:
    """Print the table, then counts and failures."""
    parser = argparse.ArgumentParser(description="archlab over networks of many libraries.")
    parser.add_argument("--library", default="", help="libraries, separated by commas; all by default")
    parser.add_argument("--name", default="", help="only networks whose name holds one of these, separated by commas")
    parser.add_argument("--only-failures", action="store_true", help="leave out the lines of networks that pass")
    parser.add_argument("--list", action="store_true", help="print what there is, and stop")
    given = parser.parse_args()
    entries = _chosen(given.library, given.name)
    if not entries:
        print("no network is called so: --list shows all", file=sys.stderr)
        return 2
    if given.list:
        print(*(f"{entry.library:28} {entry.name}" for entry in entries), sep="\n")
        return 0
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    print(_HEAD)
    findings: list[Finding] = []
    for entry in entries:
        findings.append(measure(entry))
        if len(findings) % GARBAGE_EVERY == 0:
            gc.collect()
        if findings[-1].failures or not given.only_failures:
            print(_line(findings[-1]), flush=True)
    return _summary(findings, time.perf_counter() - start)


def _chosen(libraries: str, names: str) -> list[Entry]:
    wanted, parts = libraries.split(",") if libraries else [], names.lower().split(",")
    return [
        entry
        for entry in ENTRIES
        if (not wanted or entry.library in wanted) and any(part in entry.name.lower() for part in parts)
    ]


_HEAD = (
    f"{'library':13}{'network':35}{'parameters':>12}{'MACs':>16}{'FlopCounterMode':>21}"
    f"{'seconds':>8}  {'arithmetic':11}{'unchanged':10}{'result':8}difference explained by"
)


def _line(finding: Finding) -> str:
    entry = finding.entry
    start = f"{entry.library.partition('_')[0][:12]:13}{entry.name[:34]:35}"
    if finding.skipped:
        return f"{start}skipped: {finding.skipped}"
    causes = "; ".join(
        [f"{macs:+,} {cause}" for cause, macs in finding.causes.items()]
        + [f"uncounted: {', '.join(finding.uncounted)}"] * bool(finding.uncounted)
    )
    return (
        f"{start}{finding.parameters:12,}{finding.macs:16,}{finding.counter:16,} {finding.device:4}"
        f"{finding.seconds:8.2f}  {'real' if finding.real else 'none':11}"
        f"{'no' if finding.changed else 'yes':10}{'FAILED' if finding.failures else 'right':8}{causes}"
    ).rstrip()


def _summary(findings: list[Finding], seconds: float) -> int:
    run = [finding for finding in findings if not finding.skipped]
    failed = [finding for finding in run if finding.failures]
    for finding in failed:
        print(f"\n{finding.entry.library} {finding.entry.name}:")
        print(*(f"  {failure}" for failure in finding.failures), sep="\n")
    libraries = {finding.entry.library for finding in run}
    print(
        f"\n{len(run)} networks of {len(libraries)} libraries, {len(findings) - len(run)} skipped, in {seconds:.0f} s; "
        f"{sum(bool(finding.real) for finding in run)} with real arithmetic; "
        f"{sum(bool(finding.causes) for finding in run)} differences derived; {len(failed)} failed"
    )
    return int(len(failed) > ALLOWED_FAILURES)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
