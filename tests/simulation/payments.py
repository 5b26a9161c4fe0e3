"""The card payments in the simulation, judged by an oracle of their own that knows them by name."""

from load.this_project import PROJECT
from tests.simulation.judgement import judge_payments
from tests.simulation.scene import Scene
from tests.simulation.workload import Workload

PAYMENTS = Scene(PROJECT, Workload, judge_payments)
