"""Where the shell says it is: the file into which its hooks write a line each (startup.bash). Anything may stand in it."""
# ruff: noqa: PTH123

import contextlib


class Marks:
    """The marks so far, oldest first, as one string of letters.

    P: a prompt. B: a command began. C: the rest of a command is awaited.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.letters = ""
        self.codes: list[int] = []  # exit code at each prompt
        self.placed = 0  # how often a line was placed or looked at
        self.declined = 0  # how often one was not placed, since another stood there than the one expected
        self.mended = 0  # how often one was not placed, since a hook had to be mended first
        self._offset = 0
        open(path, "w", encoding="ascii").close()

    def read(self) -> "Marks":
        with contextlib.suppress(OSError), open(self.path, "rb") as file:
            file.seek(self._offset)
            lines = file.read(1 << 20).split(b"\n")
            for line in lines[:-1]:
                self._offset += len(line) + 1
                self._note(line.split())
        return self

    def _note(self, words: list[bytes]) -> None:
        kind = words[0] if words else b""
        if kind == b"P":
            self.letters += "P"
            self.codes.append(int(words[1]) if len(words) > 1 and words[1].isdigit() else 0)
        elif kind in (b"B", b"C"):
            self.letters += kind.decode()
        elif kind == b"W":
            self.placed += 1
        elif kind == b"X":
            self.declined += 1
        elif kind == b"R":
            self.mended += 1

    @property
    def answers(self) -> int:
        """How often a private key was heard."""
        return self.placed + self.declined + self.mended

    @property
    def prompts(self) -> int:
        return len(self.codes)

    @property
    def exit_code(self) -> int | None:
        """Of the last command; None before the first one."""
        return self.codes[-1] if len(self.codes) > 1 else None

    def since(self, start: int) -> str:
        return self.letters[start:]
