"""The self-ensemble: a picture is enlarged in all eight orientations, and the results are averaged.

What a network does wrong depends on how the picture lies, what it does right does not: the mean keeps the second and
loses much of the first (Timofte, Rothe and Van Gool, "Seven ways to improve example-based single image super
resolution", CVPR 2016). It costs eight runs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from srgan.runtime.faults import refuse_faulty
from srgan.runtime.session import Session, SessionInfo

Batch = NDArray[np.float32]

# Transposed, mirrored top to bottom, mirrored left to right. Engines plan anew for every shape, so that the four of
# one shape come together.
_ORIENTATIONS = tuple((turned, down, across) for turned in (False, True) for down in (1, -1) for across in (1, -1))


class SelfEnsemble:
    """``session``, run on the eight flips and quarter turns of each batch: the mean of what comes out, turned back.

    Model, device, precision, radius, multiple and minimum are those of ``session``, since height and width are bound by
    the same rules; the working memory is more by what is held between the runs. A result commutes with flips and turns
    but for the rounding of a sum. May be used from as many threads as ``session``.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def info(self) -> SessionInfo:
        inner = self._session.info
        # The turned input, and in float32 the sum and the result that is added to it.
        more = 4 * inner.channels * (1 + 2 * inner.scale * inner.scale)
        return replace(inner, working_bytes_per_pixel=inner.working_bytes_per_pixel + more)

    def run(self, batch: Batch) -> Batch:
        """See `Session.run`. Errors of a run are raised as they are; a run that cannot be right, which the mean would
        hide, raises `UpscaleFailed`."""
        total: Batch | None = None
        for turned, down, across in _ORIENTATIONS:
            seen = np.ascontiguousarray(_oriented(batch, turned, down, across))
            enlarged = self._session.run(seen)
            refuse_faulty(self._session.info, seen, enlarged)
            # Mirroring undoes itself when it comes before the transposition, as it came after.
            back = enlarged[:, :, ::down, ::across]
            back = back.swapaxes(2, 3) if turned else back
            if total is None:
                total = back.astype(np.float32, order="C")
            else:
                total += back
        assert total is not None
        total *= np.float32(1 / len(_ORIENTATIONS))
        return total

    def close(self) -> None:
        """Close the session inside."""
        self._session.close()


def _oriented(batch: Batch, turned: bool, down: int, across: int) -> Batch:
    """A view of ``batch``: transposed, then mirrored."""
    return (batch.swapaxes(2, 3) if turned else batch)[:, :, ::down, ::across]
