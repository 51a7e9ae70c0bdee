"""The process that reads text in pictures: `python -m inference.ground.ocr_process FD IDLE`, FD being a socket that listens.

It holds half a gigabyte, so there is one for the installation, and it ends when nobody asks for IDLE seconds or when the process that
started it is gone. It gets no environment of ours but the path and opens no file that is sent. One question after the other:
four bytes of length and a PNG; the answer is four bytes of length and JSON.
"""

import hashlib
import io
import json
import os
import signal
import socket
import struct
import sys
import time
from collections import OrderedDict
from contextlib import suppress
from typing import Any

LENGTH = struct.Struct("!I")
LONGEST = 64 * 1024 * 1024  # bytes of a picture
QUESTION_SECONDS = 10.0  # in which a question has to arrive
PICTURE_SECONDS = 50  # in which a picture has to be read; then this process ends, and the next question starts another
REMEMBERED = 256  # answers
TICK = 1.0


def main(descriptor: int, idle: float) -> None:
    parent = os.getppid()
    os.nice(5)
    engine, answers = _engine(), OrderedDict[str, bytes]()
    with socket.socket(fileno=descriptor) as server:
        server.settimeout(TICK)
        until = time.monotonic() + idle
        while time.monotonic() < until and os.getppid() == parent:
            with suppress(OSError):  # nobody came, or somebody left in the middle
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(QUESTION_SECONDS)
                    _serve(connection, engine, answers)
                until = time.monotonic() + idle


def _engine() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Global.use_cls": False,
            "Global.return_word_box": True,
            "Global.log_level": "critical",
        }
    )


def _serve(connection: socket.socket, engine: Any, answers: OrderedDict[str, bytes]) -> None:
    (length,) = LENGTH.unpack(_exactly(connection, LENGTH.size))
    if length > LONGEST:
        return
    png = _exactly(connection, length)
    sha = hashlib.sha256(png).hexdigest()
    if sha not in answers:
        signal.alarm(PICTURE_SECONDS)
        answers[sha] = json.dumps(_lines(engine, png)).encode()
        signal.alarm(0)
    answers.move_to_end(sha)
    while len(answers) > REMEMBERED:
        answers.popitem(last=False)
    connection.sendall(LENGTH.pack(len(answers[sha])) + answers[sha])


def _exactly(connection: socket.socket, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        part = connection.recv(min(length - len(parts), 1 << 20))
        if not part:
            raise ConnectionError("half a question")
        parts += part
    return bytes(parts)


def _lines(engine: Any, png: bytes) -> list[dict[str, Any]]:
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        pixels = np.asarray(image.convert("RGB"))[:, :, ::-1]
    read = engine(pixels, use_cls=False, return_word_box=True)
    if not read.txts:
        return []
    words = read.word_results or ((),) * len(read.txts)
    return [
        _piece(text, score, box) | {"words": [_piece(*word) for word in of_line]}
        for text, score, box, of_line in zip(read.txts, read.scores, read.boxes, words, strict=True)
    ]


def _piece(text: str, score: float, corners: Any) -> dict[str, Any]:
    """`box`: left, top, right, bottom in pixels."""
    across, down = [float(x) for x, _ in corners], [float(y) for _, y in corners]
    return {"text": text, "score": float(score), "box": [min(across), min(down), max(across), max(down)]}


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
