"""The project of this process, for modules that are not given theirs yet.

That is the one of `HEADRACE_PROJECT`, else the card payments.

Whoever is given a `RunningProject`, a `Pipeline` or an `Entity` needs nothing from here.
"""

from features.project.running import project_of_process

PROJECT = project_of_process()
PIPELINE = PROJECT.pipeline
CHAIN = PIPELINE.chain
EVENT = PROJECT.event
ENTITIES = PROJECT.entities
CUSTOMER, TERMINAL = ENTITIES[0], ENTITIES[-1]
SERVICE = PROJECT.service
DECISIONS = PROJECT.decisions
PROFILE = PROJECT.profile
CUSTOMER_PROFILE = PROFILE
PROFILED = PROJECT.profiled
DEFINITIONS_HASH = PROJECT.definitions_hash
