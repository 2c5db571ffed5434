"""What every network says of every image and of its nearest examples, for `intriguing explain`."""

import json
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from intriguing.keys import APART
from intriguing.names import file_name
from intriguing.results.store import write_tensors
from intriguing.runs.examples import Examples
from intriguing.runs.predicting import predict
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage

TOP = 5
"""Likeliest classes that are kept."""


@dataclass(frozen=True)
class Judge(Stage):
    """Logits of every network for the attacked images, before and after.

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
        tensors: dict[str, np.ndarray] = {}
        adversarial = outcome.columns["adversarial"].nan_to_num()
        for place, judge in enumerate(self.networks):
            for when, images in (("before", outcome.images.images), ("after", adversarial)):
                _, logits = predict(judge.model, images, self.batches[judge.name])
                top = logits.topk(min(TOP, logits.shape[1]), dim=1)
                tensors[f"{when}_classes_{place}"] = top.indices.numpy().astype(np.int32)
                tensors[f"{when}_logits_{place}"] = top.values.numpy()
                own = logits.gather(1, outcome.images.labels[:, None])[:, 0]
                tensors[f"{when}_label_{place}"] = own.numpy()
        words = {
            "kind": "judged", "title": f"What the networks say of examples made for {name}",
            "network": name, "networks": json.dumps([judge.name for judge in self.networks]),
            "ids": json.dumps(outcome.images.ids, ensure_ascii=False),
            "classes": json.dumps(outcome.images.class_names, ensure_ascii=False),
        }  # fmt: skip
        write_tensors(run.folder, file_name("judged", name), tensors, words)
