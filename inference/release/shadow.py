"""What a prediction says of release: the model that decided, scores that decided nothing, the experiment.

Everything between the rules' answers and the vector's values, written by the batch as the rest of a
prediction is. Without canary and shadows it is one text for all rows.
"""

from typing import Literal

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from contracts.events import Experiment, ModelUsed
from features.project.running import RunningProject
from inference.models.model import Model
from inference.release.arms import Arms
from inference.release.live import Live, id_of

Floats = NDArray[np.float64]

_encode = msgspec.json.Encoder().encode
_NOBODY = Arms(Live(), None, None)


class ReleaseWriter:
    """Writes `,"model":…,"shadow":[…],"experiment":…,"features":{…,"values":[` of each row.

    The canary's events carry the champion's score among the shadows, so that the two can be judged on the
    same events once labels come.
    """

    def __init__(self, project: RunningProject) -> None:
        self._service = {"service": project.service.name, "definitions_hash": project.definitions_hash}
        self._live: Live | None = None
        self._texts: dict[bool, tuple[bytes, bytes]] = {}

    def write(self, model: Model | None, arms: Arms | None, count: int) -> list[bytes]:
        """Return the text of n rows; `model` is the champion where `arms` says nothing of it."""
        if arms is None:
            arms = _NOBODY._replace(live=Live(model))
        self._learn(arms.live)
        canary = arms.live.canary
        before, behind = self._texts[False]
        written = [before] * count
        behinds = [behind] * count
        if canary is not None and len(arms.drawn):
            mine = self._texts[True]
            for row in arms.drawn.tolist():
                behinds[row] = mine[1]
            for row in arms.decided.tolist():
                written[row] = mine[0]
        if not arms.shadows and not len(arms.decided):
            return [b"%b[]%b" % pair for pair in zip(written, behinds, strict=True)]
        return [
            b"%b[%b]%b" % piece
            for piece in zip(written, _scores(arms, count), behinds, strict=True)
        ]  # fmt: skip

    def _learn(self, live: Live) -> None:
        """Make the texts of the champion's arm (False) and of the canary's (True)."""
        if live is self._live or (self._live is not None and live == self._live):
            return
        self._live = live
        service = msgspec.json.encode(self._service)[1:-1]
        features = b',"features":{%b,"values":[' % service
        self._texts = {False: (_model(live.champion), _experiment(live, "champion") + features)}
        if live.canary is not None:
            self._texts[True] = (_model(live.canary.model), _experiment(live, "canary") + features)


def _model(model: Model | None) -> bytes:
    used = b"" if model is None else b',"model":%b' % _encode(ModelUsed(**model.identity._asdict()))
    return used + b',"shadow":'


def _experiment(live: Live, arm: Literal["champion", "canary"]) -> bytes:
    if live.canary is None:
        return b""
    about = Experiment(
        id=id_of(live.canary.model),
        arm=arm,
        share_percent=live.canary.share_percent,
    )
    return b',"experiment":%b' % _encode(about)


def _scores(arms: Arms, count: int) -> list[bytes]:
    """Return the inside of each row's list of shadow scores; a score that is not there is left out."""
    columns = [(id_of(model), own) for model, own in zip(arms.live.shadows, arms.shadows, strict=True)]
    if len(arms.decided) and arms.live.champion is not None and arms.champion is not None:
        only = np.full(count, np.nan)
        only[arms.decided] = arms.champion[arms.decided]
        columns.append((id_of(arms.live.champion), only))
    whole = [(name, own) for name, own in columns if not np.isnan(own).any()]
    holed = [(name, own) for name, own in columns if np.isnan(own).any()]
    texts = _complete(whole, count)
    for name, own in holed:
        begin = b'{"model":%b,"score":' % _encode(name)
        rows = np.flatnonzero(~np.isnan(own))
        for row, number in zip(rows.tolist(), _numbers(own[rows]), strict=True):
            texts[row] += b"%b%b%b}" % (b"," if texts[row] else b"", begin, number)
    return texts


def _complete(columns: list[tuple[str, Floats]], count: int) -> list[bytes]:
    """Return the scores of models that scored every row."""
    if not columns:
        return [b""] * count
    template = b",".join(
        b'{"model":%b,"score":%%b}' % _encode(name).replace(b"%", b"%%") for name, _ in columns
    )
    return [template % row for row in zip(*(_numbers(own) for _, own in columns), strict=True)]


def _numbers(values: Floats) -> list[bytes]:
    """Return finite numbers as JSON's.

    >>> _numbers(np.array([0.5, 1.0]))
    [b'0.5', b'1.0']
    """
    if not len(values):
        return []
    whole = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    return whole[1:-1].split(b",")
