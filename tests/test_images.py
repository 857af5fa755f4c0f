"""Folders of pictures: grey pixels as saved, broken ones skipped by name, colour refused."""

import io
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from minivae.data import load_data
from minivae.data import pictures as images
from minivae.errors import ArgumentError, DataError

GREY = np.random.default_rng(0).integers(0, 256, (6, 8), dtype=np.uint8)


def png_bytes(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(GREY).save(folder / "0.png")
    return folder


def pixels(folder, count=2, **options):
    """The picture that was added to the folder last: 0.png stands before it."""
    said = []
    data = load_data(folder, notice=said.append, **options)
    both = {tuple(row) for part in (data.train, data.test) for row in part}
    assert len(data.train) + len(data.test) == count and data.train.dtype == np.uint8
    found = both - {tuple(GREY.ravel())}
    rows = data.image_shape
    return np.array(found.pop() if found else GREY.ravel()).reshape(rows), said


def test_a_folder_of_pictures(folder):
    for i in range(1, 40):
        Image.fromarray(np.roll(GREY, i)).save(folder / f"{i}.PNG")
    (folder / "notes.txt").write_text("not a picture")
    (folder / "below").mkdir()
    said = []
    data = load_data(folder, notice=said.append)
    assert data.name == "pictures" and data.image_shape == (6, 8)
    assert data.train.shape == (36, 48) and data.test.shape == (4, 48)
    assert said == ["no test part: 4 of 40 images held out for testing (seed 0)"]
    expected = sorted(np.roll(GREY, i).tobytes() for i in range(40))
    assert sorted(row.tobytes() for part in (data.train, data.test) for row in part) == expected


def grey_as(mode):
    return Image.fromarray(np.flipud(GREY)).convert(mode)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_grey_in_any_mode(folder, mode):
    grey_as(mode).save(folder / "1.png")
    assert np.array_equal(pixels(folder)[0], np.flipud(GREY))


def test_black_and_white(folder):
    Image.fromarray(GREY > 99).save(folder / "1.png")
    assert np.array_equal(pixels(folder)[0], np.where(GREY > 99, 255, 0))


def test_16_bits_keep_the_upper_8(folder):
    wide = np.flipud(GREY).astype(np.uint16) * 256 + 77
    Image.fromarray(wide).save(folder / "1.png")
    assert np.array_equal(pixels(folder)[0], np.flipud(GREY))


def test_transparent_parts_lie_over_black(folder):
    picture = np.full((6, 8, 4), 200, np.uint8)
    picture[..., 3] = np.arange(48).reshape(6, 8) * 5
    Image.fromarray(picture).save(folder / "1.png")
    expected = np.rint(200 * (np.arange(48).reshape(6, 8) * 5) / 255)
    assert np.array_equal(pixels(folder)[0], expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg(folder, mode):
    smooth = np.add.outer(np.arange(6), np.arange(8)).astype(np.uint8) * 12
    Image.fromarray(smooth).convert(mode).save(folder / "1.jpeg", quality=95)
    assert np.abs(pixels(folder)[0].astype(int) - smooth).max() <= 6  # JPEG's own loss


def test_colour_is_refused(folder):
    picture = np.repeat(GREY[..., None], 3, axis=2)
    picture[2, 3] = 200, 10, 10
    for name in ("1.png", "1.jpg"):
        Image.fromarray(picture).save(folder / name, quality=100)
        with pytest.raises(DataError, match=rf"{name} is in colour: keep it with --colour .*grey"):
            load_data(folder)
        (folder / name).unlink()
    Image.fromarray(picture).convert("P").save(folder / "1.png")
    with pytest.raises(DataError, match=r"1.png is in colour"):
        load_data(folder)


def test_scaled_to_one_size(folder):
    Image.fromarray(np.full((100, 60), 130, np.uint8)).save(folder / "1.png")
    with pytest.raises(DataError, match=r"1.png is 100x60, .* 6x8: give --image-size 6x8"):
        load_data(folder)
    found, _ = pixels(folder, image_size="6x8")
    assert found.shape == (6, 8) and (found == 130).all()
    assert load_data(folder, image_size=(5, 3)).image_shape == (5, 3)


def test_scaling_down_averages(folder):
    board = np.indices((60, 80)).sum(axis=0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(folder / "1.png")
    found, _ = pixels(folder, image_size="6x8")
    assert np.abs(found.astype(int) - 127).max() <= 3  # a skipping scaler would give 0 or 255


@pytest.mark.parametrize("orientation", range(10))
def test_turned_photographs(folder, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(GREY).save(folder / "0.png", exif=exif)
    with Image.open(folder / "0.png") as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    rows, columns = expected.shape
    Image.new("L", (columns, rows)).save(folder / "1.png")
    data = load_data(folder)
    assert data.image_shape == (rows, columns)
    assert expected.ravel().tolist() in [*data.train.tolist(), *data.test.tolist()]


def test_a_picture_of_many_strips(folder):
    tall = np.random.default_rng(1).integers(0, 256, (1500, 400), dtype=np.uint8)
    for name, mode in (("0.png", "L"), ("1.png", "RGBA")):
        Image.fromarray(tall).convert(mode).save(folder / name, compress_level=1)
    data = load_data(folder)
    assert np.array_equal(data.train[0], tall.ravel())
    assert np.array_equal(data.test[0], tall.ravel())


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows, columns, *chunks):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


WHOLE = png_bytes(Image.fromarray(GREY))
BROKEN = {
    "empty": b"",
    "text": b"not a picture at all",
    "truncated": WHOLE[:-30],
    "damaged": WHOLE[:45] + bytes([WHOLE[45] ^ 255]) + WHOLE[46:],
    "no pixels": png(6, 8),
    "zero": png(0, 8, chunk(b"IDAT", zlib.compress(bytes(9)))),
    "promise": png(2**31 - 1, 2**31 - 1, chunk(b"IDAT", zlib.compress(bytes(9)))),
    "bomb": png(30_000, 30_000, chunk(b"IDAT", zlib.compress(bytes(30_001 * 50)))),
    "text bomb": png(
        6, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(5 << 20), 9)),
        chunk(b"IDAT", zlib.compress(bytes(9 * 6))),
    ),
    "gif": b"GIF89a" + bytes(30),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_pictures_are_named_and_skipped(folder, kind):
    Image.fromarray(np.flipud(GREY)).save(folder / "1.png")
    (folder / "2.png").write_bytes(BROKEN[kind])
    tracemalloc.start()
    found, said = pixels(folder)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
    assert np.array_equal(found, np.flipud(GREY))
    assert said[0].startswith(f"skipped {folder / '2.png'}: ") and said[0].isprintable()
    assert said[1] == "1 of 3 pictures could not be read and were skipped"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_picture_that_may_not_be_read_is_skipped(folder):
    Image.fromarray(np.flipud(GREY)).save(folder / "1.png")
    Image.fromarray(GREY).save(folder / "2.png")
    (folder / "2.png").chmod(0)
    assert pixels(folder)[1][0] == f"skipped {folder / '2.png'}: Permission denied"


def test_links_that_lead_nowhere_and_pipes_are_named(folder):
    said = []
    Image.fromarray(np.flipud(GREY)).save(folder / "1.png")
    (folder / "2.png").symlink_to(folder / "nothing")
    os.mkfifo(folder / "3.png")
    load_data(folder, notice=said.append)
    assert f"skipped {folder / '2.png'}: No such file or directory" in said
    assert f"skipped {folder / '3.png'}: no ordinary file" in said


def test_a_jpeg_of_many_scans_is_not_decoded(folder):
    """Each scan costs a pass over all pixels: 230 KB can take a minute."""
    content, said = io.BytesIO(), []
    Image.fromarray(np.zeros_like(GREY)).save(content, "JPEG", progressive=True)
    whole = content.getvalue()
    scan = whole.rindex(b"\xff\xda")
    many = whole[:scan] + whole[scan:-2] * 200 + whole[-2:]
    (folder / "2.jpg").write_bytes(whole)
    (folder / "3.jpg").write_bytes(many)
    data = load_data(folder, notice=said.append)
    assert len(data.train) + len(data.test) == 2
    assert f"skipped {folder / '3.jpg'}: a JPEG of more than 100 scans" in said


def test_pictures_that_do_not_fit_into_memory(folder, monkeypatch):
    def empty(*args):
        raise MemoryError

    monkeypatch.setattr(images.np, "empty", empty)
    with pytest.raises(DataError, match="1 pictures of 9x9 do not fit into memory"):
        load_data(folder, image_size="9x9")


def test_a_picture_that_claims_4_gb_takes_no_memory(folder):
    """Its pixels are all there; Pillow would then read what is left of the chunk at once."""
    (folder / "1.png").write_bytes(WHOLE[:33] + b"\xff" + WHOLE[34:])
    tracemalloc.start()
    found, _ = pixels(folder)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
    assert np.array_equal(found, GREY)


def test_more_pixels_than_are_read(folder):
    Image.new("L", (5000, 3356)).save(folder / "1.png")
    said = []
    with pytest.raises(DataError, match="single image"):
        load_data(folder, image_size="6x8", notice=said.append)
    assert said[0] == f"skipped {folder / '1.png'}: 3356x5000 pixels are more than 4096x4096"


def test_nothing_but_broken_pictures(folder):
    (folder / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 1 pictures could be read"):
        load_data(folder)


@pytest.mark.parametrize("size", ["28", "28x", "0x28", "28x28x1", "x", "-1x5", "28x4000", (28,)])
def test_an_image_size_that_is_none(folder, size):
    with pytest.raises(DataError, match="such as 28x28"):
        load_data(folder, image_size=size)
    with pytest.raises(ArgumentError, match="image_size must be text"):
        load_data(folder, image_size=7)


def test_large_pictures_need_a_size(folder):
    Image.new("L", (2049, 3)).save(folder / "0.png")
    with pytest.raises(DataError, match=r"0.png is too large to model: give --image-size"):
        load_data(folder)
