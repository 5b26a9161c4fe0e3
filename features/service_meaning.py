"""What each input of a model means, so that a model goes on being served what it was trained on."""

from functools import cache

from contracts.meaning import Meaning
from features.catalog import CUSTOMER_PROFILE, DEFINITIONS_HASH, ENTITIES, SERVICE
from features.definition import definitions_hash
from features.meaning import meaning_of
from features.vector import DERIVED_FROM, FORMULAS


@cache
def service_meaning() -> Meaning:
    """Return this code's service: its columns in order, each with the hash of what it means.

    A derived column changes with what it is derived from, and with the number of the formulas.

    >>> service_meaning().columns == SERVICE.columns
    True
    """
    known: dict[str, str] = {}
    for entity in ENTITIES:
        known |= meaning_of(entity).features
    profile = (CUSTOMER_PROFILE.name, CUSTOMER_PROFILE.join_key, CUSTOMER_PROFILE.max_age_ms)
    known |= {name: definitions_hash(name, *profile) for name in CUSTOMER_PROFILE.columns}
    known |= {name: definitions_hash(name, FORMULAS) for name in SERVICE.event}
    for name in SERVICE.derived:
        inputs = tuple(known[source] for source in DERIVED_FROM[name])
        known[name] = definitions_hash(name, FORMULAS, *inputs)
    features = {name: known[name] for name in SERVICE.columns}
    return Meaning(entity="service", hash=DEFINITIONS_HASH, features=features)
