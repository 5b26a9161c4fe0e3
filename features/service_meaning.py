"""What each input of a model means, so that a model goes on being served what it was trained on."""

from functools import cache

from contracts.meaning import Meaning
from features.catalog import DEFINITIONS_HASH, ENTITIES, PROFILE, SERVICE
from features.definition import definitions_hash
from features.meaning import meaning_of


@cache
def service_meaning() -> Meaning:
    """Return this code's service: its columns in order, each with the hash of what it means.

    A computed column changes with its formula, and with what the formula reads.

    >>> service_meaning().columns == SERVICE.columns
    True
    """
    known: dict[str, str] = {}
    for entity in ENTITIES:
        known |= meaning_of(entity).features
    view = PROFILE
    profile = (view.name, view.join_key, view.max_age_ms, *view.statements)
    known |= {name: definitions_hash(name, *profile) for name in view.columns}
    known |= {one.name: definitions_hash(one) for one in SERVICE.of_event}
    for one in SERVICE.of_features:
        known[one.name] = definitions_hash(one, *(known[source] for source in one.tree.inputs()))
    features = {name: known[name] for name in SERVICE.columns}
    return Meaning(entity="service", hash=DEFINITIONS_HASH, features=features)
