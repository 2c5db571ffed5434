# %% [markdown]
# # Gate a pull request
#
# Somebody trained a new version. It is more accurate. Is it easier to fool than the last one? A
# gate decides in CI, with an exit code, in as few images as it takes, and is wrong at most 1 time
# in 20 either way.

# %%
import json
import tempfile
from pathlib import Path

import torch
from torch import nn

import intriguing as it

folder = Path(tempfile.mkdtemp())
digits = it.load_data("digits")


def trained(decay, steps):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 10))
    optimizer = torch.optim.Adam(model.parameters(), 0.01, weight_decay=decay)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(digits.train.images), digits.train.labels).backward()
        optimizer.step()
    return model.eval()


def report(gate):
    told = gate.verdict
    print(
        f"{gate.ruling}: {told.near} of {told.images} images are too near; median {told.value:.4f}"
    )


last, new = trained(3e-3, 150), trained(0.0, 600)

# %% [markdown]
# ## A distance to keep
#
# The demand is on the median image's nearest example, in the paper's distortion, √(mean r²). Images
# come in a random order, one after another, and the gate ends at the first one where the evidence
# suffices. One demand that the network meets, and one that it does not:

# %%
modest = it.run_gate(last, digits.test, folder / "modest", it.GateConfig(at_least=0.03, budget=60))
bold = it.run_gate(last, digits.test, folder / "bold", it.GateConfig(at_least=0.2, budget=60))
report(modest)
report(bold)
assert modest.ruling == "pass"
assert bold.ruling == "fail"
assert bold.verdict.images < 100

# %% [markdown]
# On the command line: exit code 0 for a pass, 1 for a fail, 3 if the images do not decide, 2 for
# wrong input.
#
#     intriguing gate last.safetensors digits --at-least 0.03
#
# ## No worse than the last version
#
# A fixed distance has to be chosen by somebody. A baseline has not: image by image, is the new
# network's nearest example at least .95 times as far?

# %%
against = it.run_gate(
    new, digits.test, folder / "against", it.GateConfig(no_worse_than=0.05, budget=60),
    baseline=it.Baseline("last", last),
)  # fmt: skip
report(against)
accuracy = {
    name: float((model(digits.test.images).argmax(1) == digits.test.labels).float().mean())
    for name, model in (("last", last), ("new", new))
}
print(accuracy)
assert against.ruling == "fail"

# %% [markdown]
# **The finding.** Accuracy says nothing about this: the two networks read about as many digits
# correctly, and the gate turns the new one down after a few images, because what it learned without
# decay lies nearer to its boundaries.
#
# ## What a reviewer gets
#
# JUnit for the list of tests, SARIF for code scanning, Markdown for the pull request, a section for
# the model card, and a record of evidence:

# %%
for file in sorted((folder / "against" / "report").iterdir()):
    print(file.name)
evidence = json.loads((folder / "against" / "report" / "evidence.json").read_text())
print(sorted(evidence))

# %% [markdown]
# In a workflow on GitHub:
#
# ```yaml
# - uses: OWNER/intriguing/examples/ci@VERSION
#   with:
#     arguments: weights.safetensors folder:held-out --against last.safetensors --no-worse-than 5%
# ```
#
# ## Exercise
#
# 1. Ask for more: `it.GateConfig(robust_accuracy=0.8, eps=0.3, certified=True)` counts only what is
#    proved. Does `last` pass?
# 2. Hide the gradients: put `nn.Hardtanh(0, 1)` and a rounding to two values in front of the
#    network. Why does the gate not let it pass?
#
# [The test, and how often it errs](../gate.md#the-test). Next: [write your own](10_your_own.py).
