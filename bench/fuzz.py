"""Fuzzing, the long form: mutated files of each format must load correctly or fail in one line.

    python bench/fuzz.py                       # 100,000 files of each format
    python bench/fuzz.py --count 5000 npz idx  # some formats, fewer files
    python bench/fuzz.py --first 1234 --count 1 npz      # one file again

File number i of a format is the same on every machine with the same NumPy and zlib. Each is loaded
in this process; the script exits with status 1 if any file raised another error than the project's
own, took more than 2 s of the processor's time, or had more memory allocated (as tracemalloc sees
it: NumPy's arrays and Python's objects) than its format's limit. A crash would end the script: it
has no net.

What loads must be right: data sets uint8 or floats in [0, 1] with the promised shapes; of formats
with checksums (idx.gz, npz, checkpoint), arrays equal to the ones saved.
"""

import argparse
import io
import json
import os
import resource
import struct
import sys
import tempfile
import time
import tracemalloc
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

from minivae.data import load_data
from minivae.errors import CheckpointError, DataError

SECONDS = 2.0
MIB = 1 << 20
rng = np.random.default_rng(0)
X = rng.integers(0, 256, (6, 5, 4), dtype=np.uint8)
FLOATS = (X / 255).astype(np.float32)
BLACK = np.zeros((200, 28, 28), np.uint8)


def saved(save, *arrays, **named):
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def idx(array):
    dims = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + dims + array.tobytes()


def zipped(content, level=9):
    packer = zlib.compressobj(level, wbits=31)
    return packer.compress(content) + packer.flush()


def pictures():
    from PIL import Image

    grey = Image.fromarray(X[0])
    files = [saved(grey.convert(mode).save, format="PNG") for mode in ("L", "RGBA", "P", "1")]
    wide = Image.fromarray(X[0].astype(np.uint16) * 257)
    files.append(saved(wide.save, format="PNG"))
    return files + [saved(grey.convert(mode).save, format="JPEG") for mode in ("L", "RGB")]


def checkpoint():
    import minivae
    from minivae.runs.checkpoint import save
    from minivae.training import Training

    vae = minivae.vae.VAE(20, hidden=(4,), latent=2)
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "d.npz"), x_train=X, x_test=X)
        training = Training(vae, load_data(Path(folder, "d.npz")), batch_size=2)
        list(training.run(2, threads=1))
        save(Path(folder, "c.npz"), vae, training)
        save(Path(folder, "m.npz"), vae)
        return [Path(folder, name).read_bytes() for name in ("c.npz", "m.npz")]


def seeds(kind):
    """Give the whole files that mutation starts from."""
    if kind == "idx":
        return [idx(X), idx(BLACK[:2])]
    if kind == "idx.gz":
        return [zipped(idx(X)), zipped(idx(X), 0), zipped(idx(BLACK))]
    if kind == "npy":
        arrays = X, FLOATS, np.asfortranarray(X), FLOATS.astype(">f8"), X > 99, X.reshape(6, 20)
        return [saved(np.save, array) for array in arrays]
    if kind == "npz":
        parts = {"x_train": X, "x_test": X[:2], "y_train": np.arange(6), "y_test": np.arange(2)}
        return [saved(save, **parts) for save in (np.savez, np.savez_compressed)] + [
            saved(np.savez_compressed, BLACK)
        ]
    if kind == "picture":
        return pictures()
    return checkpoint()


INTERESTING = [0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63, 2**64 - 1]
TOKENS = [
    b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"\x1f\x8b\x08", b"\x93NUMPY\1\0",
    b"\0\0\x08\x03", b"'|O'", b"'descr'", b"<f8", b">u2", b"True", b"(0, 9)", b"../x.npy", b"nan",
    b"IHDR", b"IDAT", b"\xff\xd8\xff", struct.pack("<f", np.nan), struct.pack("<f", 2.0),
]  # fmt: skip


def mutate(content, source):
    """Change a file in one to eight ways; `source` is a numpy Generator."""
    out = bytearray(content)
    for _ in range(1 + int(source.integers(8)) * int(source.integers(2))):
        at = int(source.integers(len(out) + 1)) if source.integers(2) else _early(len(out), source)
        how = int(source.integers(9))
        if how == 0 and at < len(out):
            out[at] ^= 1 << int(source.integers(8))
        elif how == 1 and at < len(out):
            out[at] = int(source.integers(256))
        elif how == 2:
            out[at : at + int(source.integers(1, 20))] = b""
        elif how == 3:
            out[at:at] = source.bytes(int(source.integers(1, 20)))
        elif how == 4:
            del out[at:]
        elif how == 5:
            out += source.bytes(int(source.integers(1, 40)))
        elif how == 6:
            value = INTERESTING[int(source.integers(len(INTERESTING)))]
            width = (1, 2, 4, 8)[int(source.integers(4))]
            order = ("little", "big")[int(source.integers(2))]
            out[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, order)
        elif how == 7:
            token = TOKENS[int(source.integers(len(TOKENS)))]
            out[at : at + len(token) * int(source.integers(2))] = token
        else:
            start = int(source.integers(len(out) + 1))
            out[at:at] = out[start : start + int(source.integers(1, 200))]
    return bytes(out)


def _early(length, source):
    """Choose a position near the beginning or the end, where headers and directories lie."""
    near = min(int(source.integers(1, 160)), length)
    return near if source.integers(2) else length - near


def resealed(content, kind, source):
    """Mend the checksums after a mutation, so that what lies behind them is reached too."""
    if kind == "idx.gz":
        return zipped(mutate(content, source))
    if kind == "checkpoint":
        return forged(content, source)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in content:
            archive.writestr(name, mutate(member, source) if source.integers(2) else member)
    return out.getvalue()


def forged(content, source):
    """Change what a checkpoint says or holds, under a seal (SHA-256) that is right for it."""
    from minivae.storage import sealed

    arrays = {name[:-4]: np.load(io.BytesIO(member)) for name, member in content}
    del arrays[sealed.SEAL]
    for _ in range(1 + int(source.integers(2))):
        name, how = sorted(arrays)[int(source.integers(len(arrays)))], int(source.integers(8))
        array = arrays[sealed.CONFIG if how < 4 else name]
        if how < 2:
            text = mutate(array.tobytes(), source)
            arrays[sealed.CONFIG] = np.frombuffer(text, np.uint8)
        elif how < 4:
            arrays[sealed.CONFIG] = np.frombuffer(
                _said_otherwise(array.tobytes(), source), np.uint8
            )
        elif how == 4:
            arrays["encoder.9.weight" if source.integers(2) else "more"] = arrays.pop(name)
        elif how == 5:
            with np.errstate(all="ignore"):
                arrays[name] = array.astype(("f2", "f8", ">f4", "i8", "?")[int(source.integers(5))])
        elif how == 6:
            arrays[name] = array.reshape(-1)[: int(source.integers(array.size + 1))]
        elif array.size and array.dtype.kind == "f":
            arrays[name] = array.copy()
            arrays[name].flat[int(source.integers(array.size))] = (np.nan, -np.inf, 1e38)[
                int(source.integers(3))
            ]
        if sealed.CONFIG not in arrays:
            break
    arrays[sealed.SEAL] = np.frombuffer(sealed._digest(arrays), np.uint8)
    return saved(np.savez, **arrays)


SAID = [None, True, -1, 0, 1, 2, 10**9, 10**18, 1e300, -0.5, "", "none", "a" * 99, [], [1], [3, 0],
        [10**9], {}, {"a": 1}]  # fmt: skip


def _said_otherwise(text, source):
    """Put another value into the JSON object, or take one out."""
    try:
        config = json.loads(text)
    except ValueError:
        return text
    table = config[sorted(config)[int(source.integers(len(config)))]] if config else config
    table = table if isinstance(table, dict) and table and source.integers(8) else config
    if isinstance(table, dict) and table:
        key = sorted(table)[int(source.integers(len(table)))]
        table[key] = SAID[int(source.integers(len(SAID)))]
        if source.integers(8) == 0:
            del table[key]
    return json.dumps(config).encode()


def make(kind, whole, number):
    """Give mutated file `number`, and whether its arrays must be the saved ones if it loads."""
    source = np.random.default_rng([sorted(LIMITS).index(kind), number])
    which = int(source.integers(len(whole)))
    content = whole[which]
    if kind in ("idx.gz", "npz", "checkpoint") and source.integers(3) == 0:
        if kind == "idx.gz":
            inner = zlib.decompress(content, 31)
        else:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                inner = [(name, archive.read(name)) for name in archive.namelist()]
        return resealed(inner, kind, source), None
    return mutate(content, source), which if kind in ("idx.gz", "npz", "checkpoint") else None


# The most that may be allocated. Twice what a file's own length allows is reached nowhere; the
# largest seed has 160 kB of pixels, the rest is the machinery's: chunks, zip, pictures' decoders.
LIMITS = {
    "idx": 3 * MIB, "idx.gz": 6 * MIB, "npy": 3 * MIB, "npz": 6 * MIB, "picture": 24 * MIB,
    "checkpoint": 6 * MIB,
}  # fmt: skip


def load(kind, folder, content):
    """Put the file where its format is looked for and load it; gives the arrays."""
    if kind == "checkpoint":
        from minivae.runs.checkpoint import read

        path = folder / "checkpoint.npz"
        path.write_bytes(content)
        vae, config, moments, _ = read(path)
        text = np.frombuffer(json.dumps(config).encode(), np.uint8)
        assert np.isfinite(vae.theta).all() and vae.decode(np.zeros((1, vae.latent))).shape[0] == 1
        return [np.array(vae.theta), text, *(moments or ())]
    name = {"idx": "train-images-idx3-ubyte", "idx.gz": "train-images-idx3-ubyte.gz",
            "picture": "1.png"}.get(kind)  # fmt: skip
    path = folder / (name or f"a.{kind}")
    path.write_bytes(content)
    said = []
    data = load_data(folder if name else path, notice=said.append)
    for part, labels in ((data.train, data.train_labels), (data.test, data.test_labels)):
        rows, columns = data.image_shape
        assert part.ndim == 2 and len(part) > 0 and part.shape[1] == rows * columns
        assert part.dtype in (np.uint8, np.float32)
        assert part.dtype == np.uint8 or (part.min() >= 0 and part.max() <= 1)
        assert labels is None or (labels.shape == (len(part),) and labels.dtype == np.int64)
    if any(line.startswith("skipped") for line in said):
        raise DataError(f"{folder}: the picture was skipped")
    return [data.train, data.test]


def attack(kind, first, count, folder):
    """Run one format; gives the number of files that broke a promise."""
    if kind == "picture":
        from PIL import Image

        for i in (0, 2):  # whole pictures stand beside the mutated one
            Image.fromarray(X[i]).save(folder / f"{i}.png")
    whole = seeds(kind)
    expected = [load(kind, folder, content) for content in whole]
    outcomes, broken, slowest, largest = Counter(), 0, 0.0, 0
    numbers = range(first, first + count)
    tracemalloc.start()
    for number in numbers:
        content, same_as = make(kind, whole, number)
        outcome, fault = "loaded", ""
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        began = time.process_time()
        try:
            found = load(kind, folder, content)
            if same_as is not None and not all(map(np.array_equal, found, expected[same_as])):
                fault = "loaded something else than was saved"
        except (DataError, CheckpointError) as error:
            outcome = "refused"
            if not str(error).isprintable() or str(folder) not in str(error):
                fault = f"message is not one line naming the file: {error!r}"
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        seconds = time.process_time() - began
        peak = tracemalloc.get_traced_memory()[1] - before
        if seconds > SECONDS:
            fault = fault or f"took {seconds:.1f} s"
        if peak > LIMITS[kind]:
            fault = fault or f"allocated {peak / MIB:.1f} MiB"
        outcomes["broken" if fault else outcome] += 1
        slowest, largest = max(slowest, seconds), max(largest, peak)
        if fault:
            broken += 1
            print(f"{kind} file {number}: {fault}"[:300], file=sys.stderr)
    tracemalloc.stop()
    print(
        f"{kind:10}  {sum(outcomes.values()):>7,} files: {outcomes['loaded']:,} loaded, "
        f"{outcomes['refused']:,} refused, {outcomes['broken']:,} broken a promise; slowest "
        f"{slowest:.2f} s, most memory {largest / MIB:.1f} of {LIMITS[kind] / MIB:.0f} MiB "
        f"(process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f})",
        flush=True,
    )
    return broken


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("formats", nargs="*", choices=[*LIMITS, []], help="default: all of them")
    parser.add_argument("--count", type=int, default=100_000, help="files of each format")
    parser.add_argument("--first", type=int, default=0, help="the number of the first file")
    options = parser.parse_args()
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    broken = 0
    for kind in options.formats or LIMITS:
        with tempfile.TemporaryDirectory(dir=memory) as folder:
            broken += attack(kind, options.first, options.count, Path(folder))
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
