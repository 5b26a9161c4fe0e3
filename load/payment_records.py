"""Generated card payments and labels as records that can be sent."""

from feature_repo.generator.payments import Generated
from headrace.traffic.form import forms_of
from headrace.traffic.input_files import TableRecords
from load.this_project import PIPELINE

FORMS = forms_of(PIPELINE)


def payments_of(made: Generated) -> TableRecords:
    """Return the payments in the order in which they are delivered."""
    return TableRecords(made.transactions, FORMS["transactions"], made.deliver_ms)


def labels_of(made: Generated) -> TableRecords:
    """Return the labels in the order in which they become known."""
    return TableRecords(made.labels, FORMS["labels"])
