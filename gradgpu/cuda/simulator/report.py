"""The table of what each kernel did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One kernel. `bytes_read` and `bytes_written` count device memory, as far as launches were checked."""

    kernel: str
    module: str
    launches: int
    blocks: int
    threads: int
    bytes_read: int | None
    bytes_written: int | None
    seconds: float


class Report(list):
    """A list of `Row`s, most seconds first, that prints as a table."""

    def __getitem__(self, key: Any) -> Any:
        """The row at a position, or of a kernel's name."""
        if isinstance(key, str):
            for row in self:
                if row.kernel == key:
                    return row
            raise KeyError(
                f"no kernel {key!r} was launched; there are {sorted({row.kernel for row in self})}"
            )
        return super().__getitem__(key)

    def __str__(self) -> str:
        width = max([len(row.kernel) for row in self] + [len("kernel"), len("total")])
        head = f"{'kernel':<{width}} {'launches':>9} {'blocks':>10} {'threads':>12} {'read':>9} {'written':>9} {'ms':>9}"
        lines = [head]
        lines += [
            f"{row.kernel:<{width}} {row.launches:>9} {row.blocks:>10} {row.threads:>12} "
            f"{_bytes(row.bytes_read):>9} {_bytes(row.bytes_written):>9} {1e3 * row.seconds:>9.1f}"
            for row in [*self, self.total()]
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def total(self) -> Row:
        """The sums of all rows."""
        known = [row for row in self if row.bytes_read is not None]
        return Row(
            "total",
            "",
            sum(row.launches for row in self),
            sum(row.blocks for row in self),
            sum(row.threads for row in self),
            sum(row.bytes_read for row in known) if known else None,
            sum(row.bytes_written for row in known) if known else None,
            sum(row.seconds for row in self),
        )


def _bytes(count: int | None) -> str:
    if count is None:
        return "–"
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
