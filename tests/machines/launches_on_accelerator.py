"""What a pass of every method asks of an accelerator stays what it is: kernels, and waits.

Measured on FC100-100-10 with 8 images, where a pass of the network alone launches 17 kernels;
of `closest` at 30 passes, linearised steps and a path, and at 60, where sequential steps are half
(.67 or .79 waits, by how the processor rounds: which images are still searched differs by a few);
`benchmarks/launches.py` measures whole searches.
"""

import pytest
from benchmarks.launches import counts, trained

import intriguing as it


@pytest.mark.parametrize(
    ("method", "targeted", "budget", "kernels", "waits"),
    [
        ("paper", True, None, 230, 1.0),
        ("closest", True, 40, 140, 0.9),
        ("closest", False, 30, 130, 1.6),
        ("closest", True, 60, 180, 0.5),
        ("closest", False, 60, 228, 0.8),
        ("ddn", True, 20, 80, 0.9),
        ("pdgd", True, 20, 120, 0.9),
        ("fmn", False, 20, 115, 0.9),
        ("cw", True, 36, 112, 0.6),
        ("deepfool", False, 30, 125, 1.2),
        ("noise", False, 30, 90, 0.8),
    ],
)
def test_a_pass_launches_no_more_kernels_and_waits_no_more(
    method, targeted, budget, kernels, waits
):
    config = it.PaperConfig(max_solves=4) if method == "paper" else None
    passes, launched, waited = counts(
        trained(), method, targeted=targeted, images=8, budget=budget, config=config
    )
    assert passes > 10
    assert launched <= kernels
    assert waited <= waits
