"""Every verb, on things with hostile names, writes in its results folder and nowhere else."""

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.hostile.names import NAMES, digits

NETWORK = """
import sys
sys.path.insert(0, {root!r})
from tests.hostile.names import NAMES, network
def build(): return network("/tmp/absolute", "../../../up", NAMES[0])
def other(): return network("a b", "a-b", "A-b", scale=5)
"""

VERBS = (
    "train fc10 digits --decay 1 --out weights/fc.safetensors --results out/train",
    "attack net.py:build pictures --input 1,8,8 --limit 6 --method deepfool --targets untargeted "
    "--levels 256 --save-images --out out/attack",
    "spectrum net.py:build --input 1,8,8 --no-semidefinite --out out/spectrum",
    "certify weights/fc.safetensors digits --limit 6 --no-semidefinite --budget 20 "
    "--out out/certify",
    "units net.py:build digits --limit 40 --no-claim --directions 3 --k 3 --out out/units "
    "--layer /tmp/absolute",
    "audit net.py:other --data pictures --input 1,8,8 --images 4 --budget 30 "
    "--units-on 40 --rotations 2 --untrained 0 --target 3 --target-budget 30 --no-semidefinite "
    "--out out/audit",
    "report out/audit",
)

WATCH = """
import json, os, shlex, sys
place, seen = os.getcwd(), []
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod",
           "os.truncate", "shutil.rmtree", "shutil.move", "shutil.copyfile")
def watch(event, given):
    if event == "open":
        paths = given[:1] if (given[2] or 0) & WRITES else ()
    else:
        paths = [p for p in given[:2] if isinstance(p, (str, bytes))] if event in CHANGES else ()
    seen.extend(os.path.realpath(os.fsdecode(p)) for p in paths if not isinstance(p, int))
sys.addaudithook(watch)
from intriguing.cli.main import main
for command in json.load(sys.stdin):
    words = shlex.split(command)
    seen.clear()
    code = main(words)
    named = [w for a, w in zip(words, words[1:]) if a in ("--out", "--results", "report")]
    own = f"/proc/{os.getpid()}/clear_refs"  # where the count of its peak of memory begins anew
    allowed = [os.path.join(place, w) for w in [*named, "caches", "weights"]] + ["/dev/", own]
    outside = sorted({p for p in seen if p != place and not p.startswith(tuple(allowed))})
    print("TOLD " + json.dumps([command, code, len(seen), outside]))
"""


def write_pictures(folder: Path) -> None:
    """Digits as PNG files of such names, some of them no UTF-8."""
    folder.mkdir()
    names = [name.encode("utf-8", "surrogateescape") for name in NAMES if "\ud800" not in name]
    names = [name.replace(b"/", b"").replace(b"\0", b"")[:90] for name in names] + [b"\xff\xfe"]
    for place, (name, image) in enumerate(zip(names, digits(len(names)).images, strict=True)):
        pixels = (255 * image[0]).round().byte().numpy()
        path = os.fsencode(folder) + b"/" + str(place).encode() + name + b".png"
        Image.fromarray(pixels).save(os.fsdecode(path))


def test_verbs_write_where_they_were_told(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NETWORK.format(root=str(Path(__file__).parents[2])))
    write_pictures(tmp_path / "pictures")
    for name in ("caches", "out", "weights"):
        (tmp_path / name).mkdir()
    caches = {
        name: str(tmp_path / "caches")
        for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR", "TMPDIR", "TORCHINDUCTOR_CACHE_DIR")
    }
    environment = {**os.environ, **caches, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", WATCH], input=json.dumps(VERBS), capture_output=True, text=True,
        cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [json.loads(line[5:]) for line in done.stdout.split("\n") if line.startswith("TOLD ")]
    assert [command for command, *_ in told] == list(VERBS), done.stderr
    for command, code, writes, outside in told:
        assert (command, code, outside) == (command, 0, []), done.stderr
        assert writes > 3
    results = sorted(path for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert len(results) == 6
    for folder in results:
        listed = {json.loads(line) for line in (folder / ".written").read_text().splitlines()}
        there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        assert there - listed == {".written", ".lock"}
