"""The project of this process, for modules that are not given theirs yet.

That is the one of `HEADRACE_PROJECT`, else the card payments.

Whoever is given a `RunningProject`, a `Pipeline` or an `Entity` needs nothing from here.
"""

from features.definition import STATE_RULES, BatchView, definitions_hash
from features.project.running import project_of_process

PROJECT = project_of_process()
PIPELINE = PROJECT.pipeline
CHAIN = PIPELINE.chain
EVENT = PROJECT.event
ENTITIES = PROJECT.entities
CUSTOMER, TERMINAL = ENTITIES[0], ENTITIES[-1]
SERVICE = PROJECT.service
DECISIONS = PROJECT.decisions
PROFILE = next(
    iter(PROJECT.batch_views), BatchView(name="", join_key=ENTITIES[0].join_key, columns=(), max_age_ms=0)
)
CUSTOMER_PROFILE = PROFILE
PROFILED = next((entity for entity in ENTITIES if entity.join_key == PROFILE.join_key), ENTITIES[0])
DEFINITIONS_HASH = definitions_hash(*ENTITIES, PROFILE, SERVICE, STATE_RULES)
