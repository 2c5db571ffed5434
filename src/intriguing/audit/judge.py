"""What every network says of every image and of its nearest examples, for `intriguing explain`."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from intriguing.audit.subject import drawn
from intriguing.keys import APART
from intriguing.names import file_name
from intriguing.results.store import write_tensors
from intriguing.runs.attacking import usual_part
from intriguing.runs.examples import Examples
from intriguing.runs.expecting import shown
from intriguing.runs.predicting import predict
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.scale.attack import Attacked
from intriguing.scale.shards import Columns

TOP = 5
"""Likeliest classes that are kept."""
JUDGED = 10_000
"""Images of which answers are kept, drawn where more were attacked."""


@dataclass(frozen=True)
class Judge(Stage):
    """Logits of every network for the attacked images, or many of them, before and after.

    Attributes:
        networks: That are asked.
        attacks: Whose examples they are asked about.
        batches: Images shown to each network at once; apart, because no answer depends on it.
    """

    name: ClassVar[str] = "judge"
    networks: tuple[Network, ...]
    attacks: tuple[Examples, ...]
    batches: dict[str, int] = field(metadata=APART)

    def compute(self, run: Run) -> Made:
        """A file of tensors a network."""
        for one in self.attacks:
            self._write(run, one)
        return Made()

    def _write(self, run: Run, attack: Examples) -> None:
        outcome, name = run.loaded(attack), attack.network.name
        rows = drawn(torch.arange(len(outcome)), JUDGED, attack.search.seed)
        parts = run.in_parts(
            self, partial(self._part, outcome, rows), len(rows), usual_part(outcome.images),
            within=file_name(name), called=f"answers to examples for {name}",
            each=lambda: 2 * shown([one.model for one in self.networks], outcome.images),
        )  # fmt: skip
        columns = next(iter(parts))
        tensors = {key: parts.column(key).numpy() for key in columns}
        images = outcome.images.subset(rows)
        words = {
            "kind": "judged", "title": f"What the networks say of examples made for {name}",
            "network": name, "networks": json.dumps([judge.name for judge in self.networks]),
            "ids": json.dumps(list(images.ids), ensure_ascii=False),
            "classes": json.dumps(images.class_names, ensure_ascii=False),
        }  # fmt: skip
        write_tensors(run.folder, file_name("judged", name), tensors, words)

    def _part(
        self, outcome: Attacked, rows: Tensor, items: slice, report: Callable[[int], None]
    ) -> Columns:
        """What every network says of some of them."""
        some = rows[items]
        labels, columns = outcome.images.labels[some].cpu(), {}
        before = outcome.images.images[some].nan_to_num()
        after = outcome.columns["adversarial"][some].nan_to_num()
        for place, judge in enumerate(self.networks):
            for when, images in (("before", before), ("after", after)):
                _, logits = predict(judge.model, images, self.batches[judge.name])
                top = logits.topk(min(TOP, logits.shape[1]), dim=1)
                columns[f"{when}_classes_{place}"] = top.indices.int()
                columns[f"{when}_logits_{place}"] = top.values
                columns[f"{when}_label_{place}"] = logits.gather(1, labels[:, None])[:, 0]
            report(len(some) * (place + 1) // len(self.networks))
        return columns
