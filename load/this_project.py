"""The project of this process, for benchmarks, chaos runs and tests: nobody of the engine asks for it.

That is the one of `HEADRACE_PROJECT`, else the card payments, whose first and last entity have names here.
"""

from features.project.running import project_of_process

PROJECT = project_of_process()
PIPELINE = PROJECT.pipeline
CHAIN = PIPELINE.chain
ENTITIES = PROJECT.entities
CUSTOMER, TERMINAL = ENTITIES[0], ENTITIES[-1]
SERVICE = PROJECT.service
DECISIONS = PROJECT.decisions
CUSTOMER_PROFILE = PROJECT.profile
DEFINITIONS_HASH = PROJECT.definitions_hash
