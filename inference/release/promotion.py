"""A promotion as people ask for it: gates first, then the registry; a refusal names gate, value and limit."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import orjson

from contracts.errors import ModelError
from features.project.running import RunningProject
from inference.models.manifest import REPORT_FILE
from inference.offline.training.compare import NOT_COMPARABLE, Comparison, Side
from inference.release import gates
from inference.release.champion import Definitions, load_champion
from inference.release.gates import Evidence, Finding
from inference.release.live_evidence import Figures, LiveEvidence
from inference.release.registry import Change, Entry, Registry
from inference.release.release import Release, Stage
from inference.release.settings import ReleaseGateSettings

Compare = Callable[[Side, Side], Comparison]


class Promoter:
    """Promotes versions through the gates.

    Args:
        project: whose events the versions score.
        live: figures of the stream.
        compare: compares two versions on the same labelled events; None where there is no lake, and then
            what training compared is taken, when it was with the present champion's figures.
    """

    def __init__(
        self,
        project: RunningProject,
        registry: Registry,
        settings: ReleaseGateSettings,
        live: LiveEvidence,
        compare: Compare | None = None,
    ) -> None:
        self._registry, self._settings, self._live, self._compare = registry, settings, live, compare
        self._project = project

    def judge(self, version_id: str, to: Stage) -> list[Finding]:
        """Return what the gates before a stage say of a version.

        Raises:
            ModelError: E_MODEL_UNKNOWN, or what is wrong with the version's files.
        """
        return self._judge(self._registry.find(version_id), to, self._registry.release())

    def promote(
        self, version_id: str, to: Stage, change: Change, *, share_percent: float = 1.0, force: bool = False
    ) -> tuple[Entry, list[Finding]]:
        """Move a version to a stage when every gate before it holds, and return what the gates said.

        The release that the gates were judged against must still be in force: of two promotions at once one
        is refused. `force` passes gates by, and the audit says which.

        Raises:
            ModelError: E_GATE_REFUSED; E_GATE_UNKNOWN, what it broke on is not known to anybody yet;
                E_GATE_FORCE, force without a reason; as `Registry.promote`.
        """
        if force and not change.why:
            raise ModelError("E_GATE_FORCE", "gates are passed by without a reason", version_id, "give --why")
        release = self._registry.release()
        findings = self._judge(self._registry.find(version_id), to, release)
        broken = [finding for finding in findings if not finding.holds]
        if broken and not force:
            raise _refused(broken, f"{version_id} to {to}")
        entry = self._registry.promote(
            version_id, change, to, share_percent=share_percent, expected=release.revision,
            gates=[msgspec.to_builtins(finding) for finding in findings],
            action="promote" if not broken else "promote_by_force",
        )  # fmt: skip
        return entry, findings

    def _judge(self, entry: Entry, to: Stage, release: Release) -> list[Finding]:
        champion = release.champion
        if champion is not None and champion.id == entry.id:
            champion = None  # nothing to be compared with but itself
        evidence = Evidence(
            report=self._report(entry), golden=self._golden(entry),
            against=None if champion is None else self._against(entry, release),
            live=self._live.of(entry.id),
            champion_live=Figures() if champion is None else self._live.of(champion.id),
            has_champion=champion is not None,
        )  # fmt: skip
        return gates.judge(to, evidence, self._settings)

    def _report(self, entry: Entry) -> Mapping[str, Any]:
        if REPORT_FILE not in self._registry.manifest(entry).get("sha256", {}):
            return {}
        report: dict[str, Any] = orjson.loads(self._registry.file(entry, REPORT_FILE))
        return report

    def _golden(self, entry: Entry) -> bool:
        """Load the version as a scorer would, its trial included, which scorers then need not wait for.

        Raises:
            ModelError: E_MODEL_*, whatever is wrong with it but its golden rows.
        """
        try:
            side(self._registry, entry, self._project)
        except ModelError as error:
            if error.code == "E_MODEL_GOLDEN":
                return False
            raise
        return True

    def _against(self, entry: Entry, release: Release) -> Mapping[str, Any] | None:
        """Return the comparison with the champion: on the lake's events, else as training made it.

        Without enough events that neither has learnt, it has no gain and says so.
        """
        assert release.champion is not None, "asked only where there is one"
        unknown: Mapping[str, Any] | None = None
        if self._compare is not None:
            try:
                champion = self._registry.find(release.champion.id)
                pair = (side(self._registry, one, self._project) for one in (entry, champion))
                return self._compare(*pair).gain
            except ModelError as error:
                if error.code != NOT_COMPARABLE:  # too few labels after both trainings
                    raise
                unknown = {"gain": None, "code": error.code, "why": error.what}
        told: Mapping[str, Any] | None = self._report(entry).get("comparison", {}).get("champion")
        if told is not None and told.get("against") != release.champion.id:
            told = _with_another(told, release.champion.id)
        if told is not None and told.get("gain") is not None:
            return told
        return unknown or told


def _with_another(told: Mapping[str, Any], champion: str) -> dict[str, Any]:
    """Return that training compared with somebody else, or, before it wrote that down, on what was learnt."""
    with_whom = told.get("against", "it does not say whom, and on events that may have been learnt")
    why = f"cannot be compared: training compared with {with_whom}, and the champion is {champion}"
    return {"gain": None, "code": NOT_COMPARABLE, "why": why}


def _refused(broken: Sequence[Finding], where: str) -> ModelError:
    what = "; ".join(map(str, broken))
    if all(finding.why for finding in broken):
        return ModelError(
            "E_GATE_UNKNOWN", what, where,
            "let it score in shadow (--to shadow) until labels of later events are known,"
            " or decide yourself with --force --why",
        )  # fmt: skip
    return ModelError(
        "E_GATE_REFUSED", what, where,
        "make it hold, let it score in shadow first, or pass it by with --force --why",
    )  # fmt: skip


def side(registry: Registry, entry: Entry, project: RunningProject) -> Side:
    """Return a version with its model, checked as a scorer checks it, to be compared.

    Raises:
        ModelError: E_MODEL_*.
    """
    manifest = registry.manifest(entry)
    decisions = project.decisions.names
    features = tuple(manifest["features"])
    meant = Definitions(manifest["definitions_hash"], features, {}, project.service, decisions)
    load = partial(load_champion, registry.models, entry.pointer, meant)
    return Side(id=entry.id, model=load(), manifest=manifest)
