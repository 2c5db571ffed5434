"""Pictures and archives that attack, each made in a few bytes; all of them the same every time."""

import gzip
import io
import os
import socket
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

RED_ABOVE = np.zeros((40, 60, 3), np.uint8)
"""Red above; green below on the left, blue on the right."""
RED_ABOVE[:20] = (255, 0, 0)
RED_ABOVE[20:, :30] = (0, 255, 0)
RED_ABOVE[20:, 30:] = (0, 0, 255)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, body: bytes = b"", depth: int = 8, colour: int = 2) -> bytes:
    """A PNG whose head says anything."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        whole = kind + content
        return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(body))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")


def tiff(**tags: tuple[int, int]) -> bytes:
    """A TIFF of one directory with (type, value) a tag, by its number after a letter."""
    entries = b"".join(
        struct.pack("<HHII", int(tag[1:]), kind, 1, value) for tag, (kind, value) in tags.items()
    )
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0" * 4


def upright() -> Iterator[tuple[str, bytes]]:
    """The same picture in every format and turned in every way; all must look alike."""
    base = Image.fromarray(RED_ABOVE)
    back = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    for orientation, turn in back.items():
        held = Image.Exif()
        held[0x112] = orientation
        turned = base if turn is None else base.transpose(turn)
        for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
            exact = {"JPEG": {"quality": 98}, "WEBP": {"lossless": True}}.get(kind, {})
            yield f"exif {orientation}.{kind.lower()}", saved(turned, kind, exif=held, **exact)
    clear = base.convert("RGBA")
    clear.putalpha(0)
    for name, picture in {
        "cmyk.tiff": base.convert("CMYK"), "rgba.png": base.convert("RGBA"), "clear.png": clear,
        "palette.png": base.convert("P", palette=Image.Palette.ADAPTIVE),
        "palette.gif": base.convert("P"), "plain.bmp": base, "plain.ppm": base,
        "lab.tiff": base.convert("LAB"),
    }.items():  # fmt: skip
        yield name, saved(picture, name.rpartition(".")[2].upper())
    yield "cmyk.jpeg", saved(base.convert("CMYK"), "JPEG", quality=98)
    yield "ycbcr.jpeg", saved(base.convert("YCbCr"), "JPEG", quality=98)
    yield "see-through.png", saved(base.convert("P"), "PNG", transparency=0)
    yield "exif broken.png", saved(base, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    others = [Image.fromarray(255 - RED_ABOVE)]
    yield "moving.gif", saved(base, "GIF", save_all=True, append_images=others)
    yield "another ending.jpg", saved(base, "PNG")


def gray() -> Iterator[tuple[str, bytes]]:
    """A ramp from black to white of 40×60, in kinds of numbers of every width."""
    ramp = np.linspace(0, 1, 2400).reshape(40, 60)
    for name, numbers in {
        "bytes.png": (255 * ramp).round().astype(np.uint8),
        "16 bits.png": (65535 * ramp).round().astype(np.uint16),
        "16 bits.tiff": (65535 * ramp).round().astype(np.uint16),
        "32 bits.tiff": (65535 * ramp).round().astype(np.int32),
        "floats to 1.tiff": ramp.astype(np.float32),
        "floats to 255.tiff": (255 * ramp).astype(np.float32),
    }.items():
        yield name, saved(Image.fromarray(numbers), name.rpartition(".")[2].upper())


def bad() -> Iterator[tuple[str, bytes]]:
    """What is no picture, is too large, or says what it does not hold."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (50, 50, 3), dtype=np.uint8))
    yield "text.png", b"not a picture"
    yield "nothing.png", b""
    yield "program.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(c) (w) file\nshowpage"
    yield "vector.png", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
    yield "page.png", b"%PDF-1.4\n1 0 obj\n<< /OpenAction >>\nendobj"
    yield "video.jpg", b"\0\0\0\x18ftypmp42" + bytes(200)
    yield "python.png", b"import os; os.system('touch canary')"
    yield "bomb, said.png", png(30000, 30000)
    yield "bomb, more than there are.png", png(2**31 - 1, 2**31 - 1)
    yield "bomb, real.png", saved(Image.new("1", (20000, 20000)), "PNG")
    yield "bomb, sides.tiff", tiff(t256=(4, 2**31), t257=(4, 2**31), t273=(4, 8), t279=(4, 8))
    yield "bomb, wide.ppm", b"P6 99999999999 99999999999 255\n"
    yield "bomb, high.gif", b"GIF89a\xff\xff\xff\xff\x00\x00\x00," + b"\xff" * 8 + b"\0\x02\x00;"
    yield "bomb.bmp", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54, 40, 2**31 - 1, 2**30, 1,
                                          24, 0, 0, 0, 0, 0, 0)  # fmt: skip
    yield "no white.tiff", saved(Image.fromarray(np.full((9, 9), 3e9, np.float32)), "TIFF")
    yield "no number.tiff", saved(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF")
    yield "below black.tiff", saved(Image.fromarray(np.full((9, 9), -1, np.int32)), "TIFF")
    yield "beyond 16 bits.tiff", saved(Image.fromarray(np.full((9, 9), 1 << 20, np.int32)), "TIFF")
    yield "sides of nothing.png", png(0, 0)
    for kind in ("PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP"):
        whole = saved(noise, kind)
        for number in range(12):
            ending = f"{number}.{kind.lower()}"
            yield f"cut {ending}", whole[: int(rng.integers(1, len(whole) * 3 // 4))]
            damaged = bytearray(whole)
            for place in rng.integers(0, min(len(damaged), 200), 8):
                damaged[place] = int(rng.integers(256))
            yield f"damaged {ending}", bytes(damaged)


def strips() -> Iterator[tuple[str, bytes]]:
    """Pictures so long that resizing all of them, short side first, takes gigabytes."""
    yield "long.png", saved(Image.new("RGB", (60000, 1), (255, 0, 0)), "PNG")
    yield "high.png", saved(Image.new("RGB", (1, 60000), (255, 0, 0)), "PNG")
    yield "strip.png", saved(Image.new("RGB", (30000, 20), (255, 0, 0)), "PNG")
    yield "point.png", saved(Image.new("RGB", (1, 1), (255, 0, 0)), "PNG")


def odd_files(folder: Path, good: bytes) -> None:
    """What is no file, under names of pictures; and names that are no text."""
    (folder / "folder.png").mkdir()
    (folder / "broken link.png").symlink_to("nowhere")
    (folder / "link to itself.png").symlink_to("link to itself.png")
    (folder / "zeros.png").symlink_to("/dev/zero")
    (folder / "round").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(folder / "socket.png"))
    with open(folder / "sparse.png", "wb") as file:
        file.truncate(1 << 40)
    (folder / "closed.png").write_bytes(good)
    (folder / "closed.png").chmod(0)
    for name in (
        b"caf\xe9.png", b"caf\\xe9.png", b"line\nbreak.png", b"\x1b[31mred.png",
        "\u202egnp.png".encode(), b"[bold]a.png", b"$\\frac{$.png", b"=1+1.png",
    ):  # fmt: skip
        (folder / os.fsdecode(name)).write_bytes(good)


class _Zeros(io.RawIOBase):
    """So many zeros."""

    def __init__(self, count: int) -> None:
        self.left = count

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        part = bytes(min(size, self.left))
        self.left -= len(part)
        return part


def archive(path: Path, good: bytes, bomb: int = 300 << 20) -> None:
    """A zip of good pictures beside a bomb, a lie about a size, names that lead out, and damage."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("in/good.png", good)
        for name in ("../out.png", "../../../../tmp/out.png", "/etc/out.png", "in/../../up.png",
                     "C:\\out.png", "..\\out.png"):  # fmt: skip
            made.writestr(name, good)
        with made.open("in/bomb.png", "w") as member:
            zeros = _Zeros(bomb)
            while part := zeros.read(1 << 20):
                member.write(part)
        made.writestr("in/lie.png", bytes(1000))
        made.writestr("in/damaged.png", good)
        made.writestr("in/unknown.png", good)
        made.writestr("in/closed.png", good)
        made.writestr("in/lzma.png", good, zipfile.ZIP_LZMA)
        made.writestr("in/folder.png/", b"")
        made.getinfo("in/lie.png").file_size = 16 << 30
        made.getinfo("in/unknown.png").compress_type = 99
        made.getinfo("in/closed.png").flag_bits |= 1
        made.getinfo("in/damaged.png").CRC ^= 1


def idx_files() -> Iterator[tuple[str, bytes]]:
    """IDX files of three dimensions that are none, or ask for any memory."""
    good = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 3, 4) + bytes(24)
    yield "two to the 31 images", struct.pack(">BBBBIII", 0, 0, 8, 3, 2**31, 28, 28)
    yield "more than there are", struct.pack(">BBBBIII", 0, 0, 8, 3, *[2**32 - 1] * 3)
    yield "no dimensions", b"\0\0\x08\0"
    yield "255 dimensions", b"\0\0\x08\xff" + b"\xff" * 1020
    yield "nothing", b""
    yield "text", b"hello"
    yield "cut", good[:-1]
    yield "too long", good + b"x"
    yield "gzip of nothing", gzip.compress(b"")
    yield "gzip, cut", gzip.compress(good)[:-9]
    yield "gzip, damaged", gzip.compress(good)[:12] + b"\xff" + gzip.compress(good)[13:]
    head = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 3, 4)
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = bomb.compress(head) + b"".join(bomb.compress(bytes(1 << 20)) for _ in range(80))
    yield "gzip bomb", packed + bomb.flush()
    yield "gzip in gzip", gzip.compress(gzip.compress(good))
