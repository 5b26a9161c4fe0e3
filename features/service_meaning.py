"""What each input of a model means, so that a model goes on being served what it was trained on."""

from functools import cache

from contracts.meaning import Meaning
from features.definition import definitions_hash
from features.meaning import meaning_of
from features.project.running import RunningProject


@cache
def service_meaning(project: RunningProject) -> Meaning:
    """Return the service of a project: its columns in order, each with the hash of what it means.

    A computed column changes with its formula, and with what the formula reads.

    >>> from features.project.running import project_at
    >>> logins = project_at("examples/logins")
    >>> service_meaning(logins).columns == logins.service.columns
    True
    """
    known: dict[str, str] = {}
    for entity in project.entities:
        known |= meaning_of(entity).features
    view, service = project.profile, project.service
    profile = (view.name, view.join_key, view.max_age_ms, *view.statements)
    known |= {name: definitions_hash(name, *profile) for name in view.columns}
    known |= {one.name: definitions_hash(one) for one in service.of_event}
    for one in service.of_features:
        known[one.name] = definitions_hash(one, *(known[source] for source in one.tree.inputs()))
    features = {name: known[name] for name in service.columns}
    return Meaning(entity="service", hash=project.definitions_hash, features=features)
